//! Sets of parameters that a backtest compares, and what each said.

use crate::cli::backtest::scoring::Score;
use crate::guard::Params;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Most sets of parameters in one run: each keeps a guard of its own in memory.
const VARIANTS_MAX: usize = 64;

/// A set of parameters with its name.
pub struct Variant {
    /// What the flags call it.
    pub name: String,
    /// Its parameters.
    pub params: Params,
}

/// What one variant said of one vehicle.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// When the owner was woken, server time, seconds, and by what.
    pub woken: Vec<(f64, String)>,
    /// Alerts that only inform.
    pub informed: usize,
    /// Against the truth, where there is one.
    pub score: Score,
}

/// The default first, then files, then values to vary.
///
/// # Errors
/// Names the file or the parameter that is wrong, and how many sets are too many.
pub fn all(files: &[PathBuf], vary: &[String]) -> anyhow::Result<Vec<Variant>> {
    let mut variants = vec![Variant { name: "default".into(), params: Params::default() }];
    for file in files {
        variants.push(Variant { name: file.display().to_string(), params: read_params(file)? });
    }
    for vary in vary {
        let (name, values) = vary.split_once('=').with_context(|| format!("{vary:?} is not NAME=VALUE,VALUE"))?;
        for value in values.split(',') {
            let params = with(Params::default(), name, value)?;
            variants.push(Variant { name: format!("{name}={value}"), params });
        }
    }
    if variants.len() > VARIANTS_MAX {
        bail!("{} sets of parameters; at most {VARIANTS_MAX} fit in one run", variants.len());
    }
    Ok(variants)
}

fn read_params(file: &Path) -> anyhow::Result<Params> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_json = file.extension().is_some_and(|e| e == "json");
    let params = if is_json { serde_json::from_str(&text)? } else { toml::from_str(&text)? };
    Ok(params)
}

/// Parameters with one of them changed.
fn with(params: Params, name: &str, value: &str) -> anyhow::Result<Params> {
    let mut all = serde_json::to_value(params)?;
    let place = all.pointer_mut(&format!("/{}", name.replace('.', "/"))).filter(|v| v.is_number());
    let place = place.with_context(|| format!("there is no parameter {name:?}"))?;
    *place =
        serde_json::from_str(value).with_context(|| format!("{name} = {value:?} is not valid; expected a number"))?;
    serde_json::from_value(all).with_context(|| format!("{name} = {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_set_by_its_name_and_an_unknown_one_is_refused() {
        let params = with(Params::default(), "exit.evidence_min", "9.5").unwrap();
        assert_eq!(params.exit.evidence_min, 9.5);
        assert_eq!(params.anchor, Params::default().anchor);
        assert!(with(Params::default(), "exit.nonsense", "1").is_err());
        assert!(with(Params::default(), "exit", "1").is_err());
        assert!(with(Params::default(), "exit.settle_fixes", "-1").is_err());
    }
}
