//! Nothing but the library that it depends on.
