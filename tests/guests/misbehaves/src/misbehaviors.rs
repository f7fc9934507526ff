//! Every misbehavior by name. The tests include this file as well and `match`
//! on it, so that one without an expected outcome does not compile.

macro_rules! misbehaviors {
    ($($(#[doc = $doc:literal])+ $misbehavior:ident = $name:literal,)+) => {
        /// The misbehavior of a guest, in place of its work.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Misbehavior {
            $($(#[doc = $doc])+ $misbehavior,)+
        }

        impl Misbehavior {
            pub const ALL: &[Self] = &[$(Self::$misbehavior,)+];

            /// Returns the name of the portfolio with which a job asks for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$misbehavior => $name,)+
                }
            }
        }
    };
}

misbehaviors! {
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
    /// A request body that is one byte too long.
    LargeBody = "large body",
    /// One header too many.
    ManyHeaders = "many headers",
    /// A header that is too large.
    LargeHeader = "large header",
    /// A path that is too long.
    LongPath = "long path",
    /// One scope too many.
    ManyScopes = "many scopes",
    /// A state that is one byte too long.
    LargeState = "large state",
    /// A state of a version that its description does not list.
    OtherState = "other state",
    /// A step that the contract does not define.
    OtherStep = "other step",
    /// A wait for a purpose that the contract does not define.
    OtherPurpose = "other purpose",
    /// A word for retries that the contract does not define.
    OtherRetry = "other retry",
    /// An outcome's code that is no status.
    NoStatus = "no status",
    /// JSON that breaks off.
    BrokenJson = "broken json",
    /// An array where an object must be.
    ArrayJson = "array json",
    /// Arrays in arrays, a hundred thousand.
    DeepJson = "deep json",
    /// Half of a surrogate pair, which is not a character.
    HalfCharacter = "half a character",

    /// Makes one request after the other.
    SendsForEver = "sends for ever",
    /// Makes one checkpoint after the other.
    ChecksForEver = "checks for ever",
    /// Waits a millisecond, and again.
    WaitsForEver = "waits for ever",
    /// Waits 584 million years.
    WaitsAnAge = "waits an age",

    /// Asks for a pause of 584 million years before a request.
    PausesAnAge = "pauses an age",

    /// Asks for a URL of another origin.
    ForeignLocation = "foreign location",
    /// A URL of another origin, as a path.
    ForeignPath = "foreign path",
    /// A URL of another origin, without a scheme.
    ForeignHost = "foreign host",
    /// Leaves the base URL.
    ClimbsOut = "climbs out",
    /// Leaves the base URL with encoded dots.
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
    /// A `Content-Length` that is not the body's length.
    SetsLength = "sets length",
    /// A credential that is not configured.
    OtherCredential = "other credential",
    /// An endpoint that is not configured.
    OtherEndpoint = "other endpoint",

    /// Logs a gigabyte in one run.
    LogsGigabyte = "logs a gigabyte",
    /// Logs lines in the host's name.
    LogsForged = "logs forged lines",
}
