//! Makes a component of a core module that has its types inside, as the compiler does by itself for
//! the target `wasm32-wasip2`, which not every toolchain has.

use std::error::Error;

use wit_component::ComponentEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(module), Some(component)) = (arguments.next(), arguments.next()) else {
        return Err("usage: componentize MODULE COMPONENT".into());
    };
    let bytes = ComponentEncoder::default()
        .module(&std::fs::read(module)?)?
        .validate(true)
        .encode()?;
    std::fs::write(component, bytes)?;
    Ok(())
}
