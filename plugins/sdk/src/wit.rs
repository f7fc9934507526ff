//! The contract's own types, as wit-bindgen makes them from `wit/v0.2`.

wit_bindgen::generate!({
    path: "../../wit/v0.2",
    world: "csp-adapter",
    default_bindings_module: "hoth_adapter::wit",
    export_macro_name: "export_component",
    pub_export_macro: true,
});
