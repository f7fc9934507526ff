//! The prepared statements of one transaction.
//!
//! rusqlite keeps prepared statements, too, and finds one by its text, which is
//! hashed, compared and copied each time. A transaction runs the same dozen
//! statements for every request in it, so it takes each of them from rusqlite
//! once, and then finds it by the address of its text.

use std::cell::RefCell;
use std::ops::Deref;
use std::ops::DerefMut;
use std::ptr;

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::Result;

/// A connection, and the statements that were prepared on it. They go back to
/// rusqlite when this is dropped.
pub struct Statements<'c> {
    sql: &'c Connection,
    /// The statements that are not in use, with their texts. A scan of a few
    /// addresses is quicker than a hash.
    idle: RefCell<Vec<(&'static str, CachedStatement<'c>)>>,
}

/// A statement in use.
pub struct Prepared<'s, 'c> {
    /// `None` only while it is dropped.
    statement: Option<CachedStatement<'c>>,
    text: &'static str,
    statements: &'s Statements<'c>,
}

impl<'c> Statements<'c> {
    /// Makes an empty list of the statements of a connection.
    pub fn of(sql: &'c Connection) -> Self {
        Self { sql, idle: RefCell::default() }
    }

    /// Returns the connection.
    pub fn connection(&self) -> &'c Connection {
        self.sql
    }

    /// Prepares a statement, unless that was done before for the text at this
    /// address. The same text may be in use several times.
    ///
    /// # Errors
    ///
    /// The text is not valid SQL.
    pub fn prepare(&self, text: &'static str) -> Result<Prepared<'_, 'c>> {
        let mut idle = self.idle.borrow_mut();
        let statement = match idle.iter().position(|(known, _)| ptr::eq(*known, text)) {
            Some(at) => idle.swap_remove(at).1,
            None => self.sql.prepare_cached(text)?,
        };
        Ok(Prepared { statement: Some(statement), text, statements: self })
    }
}

impl<'c> Deref for Prepared<'_, 'c> {
    type Target = CachedStatement<'c>;

    fn deref(&self) -> &Self::Target {
        self.statement.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Prepared<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.statement.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Prepared<'_, '_> {
    fn drop(&mut self) {
        let idle = &self.statements.idle;
        idle.borrow_mut().extend(self.statement.take().map(|statement| (self.text, statement)));
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    const COUNT_TO: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n)
        SELECT n FROM n LIMIT ?1";

    fn runs(statement: &Prepared<'_, '_>) -> i32 {
        statement.get_status(StatementStatus::Run)
    }

    #[test]
    fn a_statement_is_used_again_and_twice_at_once_if_need_be() {
        let sql = Connection::open_in_memory().expect("memory is free");
        let statements = Statements::of(&sql);
        let count = |statement: &mut Prepared<'_, '_>, to: i64| {
            let numbers = statement.query_map([to], |row| row.get::<_, i64>(0));
            numbers.expect("it runs").map(|number| number.expect("a number")).sum::<i64>()
        };
        for to in 1..4 {
            let mut statement = statements.prepare(COUNT_TO).expect("valid SQL");
            assert_eq!(count(&mut statement, to), to * (to + 1) / 2);
            assert_eq!(i64::from(runs(&statement)), to, "it was prepared anew");
        }
        let mut outer = statements.prepare(COUNT_TO).expect("valid SQL");
        let mut rows = outer.query([3]).expect("it runs");
        let mut sum = 0;
        while let Some(row) = rows.next().expect("it runs") {
            let mut inner = statements.prepare(COUNT_TO).expect("valid SQL");
            sum += count(&mut inner, row.get(0).expect("a number"));
        }
        assert_eq!(sum, 1 + 3 + 6);
        drop(rows);
        drop(outer);
        assert_eq!(statements.idle.borrow().len(), 2);
    }

    #[test]
    fn a_statement_that_failed_or_was_left_midway_works_again() {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").expect("a new table");
        let statements = Statements::of(&sql);
        let insert = |n: i64| {
            let text = "INSERT INTO t VALUES (?1)";
            statements.prepare(text).and_then(|mut statement| statement.execute([n]))
        };
        insert(1).expect("a new row");
        insert(1).expect_err("the row is there");
        insert(2).expect("a new row");
        for _ in 0..2 {
            let mut all = statements.prepare("SELECT n FROM t ORDER BY n").expect("valid SQL");
            let first = all.query([]).and_then(|mut rows| rows.next()?.expect("a row").get(0));
            assert_eq!(first, Ok(1_i64));
        }
        drop(statements);
        // A statement that still ran would keep the table.
        sql.execute_batch("DROP TABLE t").expect("nothing uses it");
    }
}
