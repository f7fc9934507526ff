//! wasmtime narrowed to what HOTH uses: one call into one component.
