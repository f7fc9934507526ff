//! The tables of the queue file.
//!
//! No column of a new file refers to another table: SQLite would search that
//! table for each row, and no queue is ever deleted. Files of earlier schemas
//! keep the reference of `dead_letters`. All times are milliseconds since 1970.

/// The schema of these tables: `user_version` in the file.
pub const VERSION: i64 = 4;

/// The queues, with counts that the [triggers](COUNTS) keep: whatever changes a
/// table, another program included, counts in the same transaction.
const QUEUES: &str = "
CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    messages INTEGER NOT NULL DEFAULT 0,     -- not consumed
    dead_letters INTEGER NOT NULL DEFAULT 0
);
";

/// The messages.
///
/// The oldest message of a group is its head, and only heads are offered. A
/// consumed outcome keeps its row, for redelivery. Bodies have a table of their
/// own: the row of a message is updated several times, and dozens of rows share
/// a page.
pub const MESSAGES: &str = "
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    grp BLOB NOT NULL,               -- a digest in bytes, or a text
    key TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,     -- claimable from then on; later than now while leased
    receive_count INTEGER NOT NULL DEFAULT 0,
    lease INTEGER,                   -- the last lease's number, unless it was released
    holder INTEGER,                  -- 1: this process, 2: an HTTP client, 0: released
    head INTEGER NOT NULL,           -- 1: the oldest of its group
    consumed_at INTEGER              -- only of consumed outcomes, under the last lease
);
CREATE TABLE bodies (
    seq INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);
";

/// The orders of messages. The next group to serve is the first entry of
/// `claimable`, however many messages wait.
pub const INDEXES: &str = "
CREATE INDEX claimable ON messages (queue, visible_at, seq) WHERE head = 1;
CREATE INDEX oldest ON messages (queue, sent_at) WHERE head = 1;
CREATE INDEX leased ON messages (queue, visible_at)
    WHERE lease IS NOT NULL AND consumed_at IS NULL;
CREATE INDEX consumed ON messages (queue, consumed_at, seq, key) WHERE consumed_at IS NOT NULL;
";

/// The messages of each group that are not consumed: see the module `groups`.
pub const MEMBERS: &str = "
CREATE TABLE recent_members (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    grp BLOB NOT NULL,
    seq INTEGER NOT NULL
);
CREATE TABLE members (
    queue INTEGER NOT NULL,
    grp BLOB NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (queue, grp, seq)
) WITHOUT ROWID;
CREATE TABLE member_merge (          -- at most one row: the merge that goes on
    id INTEGER PRIMARY KEY,
    last_row INTEGER NOT NULL,       -- of `recent_members`
    queue INTEGER NOT NULL,          -- the last member that was moved
    grp BLOB NOT NULL,
    seq INTEGER NOT NULL
);
";

/// The deduplication keys: see the module `known_keys`.
pub const KEYS: &str = "
CREATE TABLE recent_keys (
    id INTEGER PRIMARY KEY,
    scope INTEGER NOT NULL,          -- the family of queues
    key BLOB NOT NULL,               -- a digest in bytes, or a text
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE TABLE known_keys (
    period INTEGER NOT NULL,         -- in which the key expires, counted from 1970
    scope INTEGER NOT NULL,
    key BLOB NOT NULL,
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (period, scope, key)
) WITHOUT ROWID;
";

const DEAD_LETTERS: &str = "
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    grp BLOB NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    receive_count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    died_at INTEGER NOT NULL
);
CREATE INDEX dead_in_queue ON dead_letters (queue, seq);
";

/// Triggers that keep the counts of [`QUEUES`], and delete bodies with their
/// messages.
///
/// They fail without undoing their statement, as do the statements that fire
/// them: any error rolls back the whole transaction, and SQLite would copy every
/// page before a statement that it may have to undo alone.
pub const COUNTS: &str = "
CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
    UPDATE OR FAIL queues SET messages = messages + (NEW.consumed_at IS NULL) WHERE id = NEW.queue;
END;
CREATE TRIGGER message_consumed AFTER UPDATE OF consumed_at ON messages BEGIN
    UPDATE OR FAIL queues
    SET messages = messages + (NEW.consumed_at IS NULL) - (OLD.consumed_at IS NULL)
    WHERE id = NEW.queue;
END;
CREATE TRIGGER message_deleted AFTER DELETE ON messages BEGIN
    UPDATE OR FAIL queues SET messages = messages - (OLD.consumed_at IS NULL) WHERE id = OLD.queue;
    DELETE FROM bodies WHERE seq = OLD.seq;
END;
CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letters BEGIN
    UPDATE OR FAIL queues SET dead_letters = dead_letters + 1 WHERE id = NEW.queue;
END;
CREATE TRIGGER dead_letter_deleted AFTER DELETE ON dead_letters BEGIN
    UPDATE OR FAIL queues SET dead_letters = dead_letters - 1 WHERE id = OLD.queue;
END;
";

/// Returns the statements that make the tables of a new file.
pub fn new_tables() -> String {
    [QUEUES, MESSAGES, INDEXES, MEMBERS, KEYS, DEAD_LETTERS, COUNTS].concat()
}
