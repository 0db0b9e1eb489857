//! The generated code in the Rust client is up to date with `proto/`.

#[test]
fn the_rust_kits_generated_code_is_up_to_date() {
    let made = include_str!(concat!(env!("OUT_DIR"), "/client/token_authority.v1.rs"));
    let folder = env!("CARGO_MANIFEST_DIR");
    let path = format!("{folder}/clients/rust/src/generated/token_authority.v1.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "{path} is stale: UPDATE_GENERATED=1 cargo test --test system kits");
}
