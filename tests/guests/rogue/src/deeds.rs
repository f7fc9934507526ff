//! Every way to misbehave. The tests include this file as well, and say of
//! each deed what its job is told: one without its word does not compile.

macro_rules! deeds {
    ($($(#[doc = $doc:literal])+ $deed:ident = $name:literal,)+) => {
        /// What a guest does instead of its work.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Deed {
            $($(#[doc = $doc])+ $deed,)+
        }

        impl Deed {
            pub const ALL: &[Self] = &[$(Self::$deed,)+];

            /// The name of the portfolio that a job asks for to get this.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$deed => $name,)+
                }
            }
        }
    };
}

deeds! {
    /// Never answers.
    Spins = "spins",
    /// Uses a part of its deadline before each of many requests.
    Dawdles = "dawdles",
    /// Takes memory until there is none.
    Hoards = "hoards",
    /// Panics.
    Traps = "traps",
    /// Calls itself until the stack is full.
    Recurses = "recurses",

    /// An outcome of 10 MB.
    AnswersVast = "answers vast",
    /// 100 MB in query parameters that are all the same megabyte.
    AnswersAliased = "answers aliased",
    /// A request's body of one byte too much.
    LargeBody = "large body",
    /// One header too many.
    ManyHeaders = "many headers",
    /// A header that is too large.
    LargeHeader = "large header",
    /// A path that is too long.
    LongPath = "long path",
    /// One scope too many.
    ManyScopes = "many scopes",
    /// A state of one byte too much.
    LargeState = "large state",
    /// A state that it says it could not read.
    OtherState = "other state",
    /// An outcome's code that is no status.
    NoStatus = "no status",
    /// JSON that breaks off.
    BrokenJson = "broken json",
    /// An array where an object must be.
    ArrayJson = "array json",
    /// Arrays in arrays, a hundred thousand.
    DeepJson = "deep json",
    /// Half of a surrogate pair, which is no character.
    HalfCharacter = "half a character",

    /// Makes one request after the other.
    SendsForEver = "sends for ever",
    /// Makes one checkpoint after the other.
    ChecksForEver = "checks for ever",
    /// Waits a millisecond, and again.
    WaitsForEver = "waits for ever",
    /// Waits 584 million years.
    WaitsAnAge = "waits an age",

    /// Asks for a URL of another origin.
    ForeignLocation = "foreign location",
    /// The same, as a path.
    ForeignPath = "foreign path",
    /// The same, without a scheme.
    ForeignHost = "foreign host",
    /// Leaves the base URL.
    ClimbsOut = "climbs out",
    /// The same, encoded.
    ClimbsEncoded = "climbs encoded",
    /// Ends its path early.
    CutsPath = "cuts path",
    /// A header's value with another header in it.
    BreaksValue = "breaks value",
    /// A header's name with another header in it.
    BreaksName = "breaks name",
    /// The header `Host`.
    SetsHost = "sets host",
    /// The header `Authorization`.
    SetsAuthorization = "sets authorization",
    /// The header `Cookie`.
    SetsCookie = "sets cookie",
    /// A body's length that is not its length.
    SetsLength = "sets length",
    /// A credential that nobody bound.
    OtherCredential = "other credential",

    /// Logs a gigabyte in one run.
    LogsGigabyte = "logs a gigabyte",
    /// Logs lines in the host's name.
    LogsForged = "logs forged lines",
}
