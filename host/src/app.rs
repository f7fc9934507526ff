//! The parts put together: build, run, drain.
