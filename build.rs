//! Watches the built web page, so that a new one gets into the binary.

fn main() {
    // Made empty where the page was not built: the binary then says how to build it.
    if let Err(error) = std::fs::create_dir_all("web/dist") {
        println!("cargo:warning=web/dist cannot be made: {error}");
    }
    println!("cargo:rerun-if-changed=web/dist");
}
