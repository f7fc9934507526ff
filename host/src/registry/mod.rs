//! Which version of which adapter serves which CSP.
