//! The HTTP API of ServiceNow.
