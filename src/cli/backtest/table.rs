//! What a backtest prints: one line a set of parameters, with intervals and paired differences.

use crate::cli::backtest::scoring::{Class, Pooled, Score, quantile};
use crate::cli::backtest::variant::{Answer, Variant};

/// Resamples of the vehicles for an interval.
const RESAMPLES: u32 = 1_000;

/// Prints a line for each variant.
pub fn print(variants: &[Variant], answers: &[Vec<(String, Answer)>], has_truth: bool) {
    if !has_truth {
        println!("variant | vehicles | woken | informed | woken differently");
        for (variant, answers_here) in std::iter::zip(variants, answers) {
            let woken: usize = answers_here.iter().map(|(_, a)| a.woken.len()).sum();
            let informed: usize = answers_here.iter().map(|(_, a)| a.informed).sum();
            println!(
                "{} | {} | {woken} | {informed} | {}",
                variant.name,
                answers_here.len(),
                differing(answers, answers_here)
            );
        }
        return;
    }
    println!(
        "variant | false alarms /1,000 days (95 % upper) | within 60 s of the oracle's (95 %) | recall | p50, p95 s | \
         power cuts, p95 s | silences, p95 s | unguarded | minute: gained, lost | false: gained, lost"
    );
    for (variant, here) in std::iter::zip(variants, answers) {
        let p = Pooled::of(here.iter().map(|(_, a)| &a.score));
        let (low, high) = interval(here, Pooled::share_of_oracle);
        let [thefts, noticed, in_a_minute, oracle] = p.thefts;
        let seconds = |sorted: &[f64], q| quantile(sorted, q).map_or("-".to_owned(), |s| format!("{s:.0}"));
        let [minute, alarms] = paired(&answers[0], here);
        println!(
            "{} | {} in {:.0}: {:.2} ({:.2}) | {in_a_minute}/{oracle} {:.4} ({low:.3}-{high:.3}) | {noticed}/{thefts} {:.4} | \
             {}, {} | {}/{}, {} | {}/{}, {} | {} | +{} -{} | +{} -{}",
            variant.name,
            p.false_alarms,
            p.armed_days,
            p.per_1000_days(),
            1_000.0 * poisson_upper(p.false_alarms) / p.armed_days,
            p.share_of_oracle(),
            p.recall(),
            seconds(&p.theft_delays_s, 0.5),
            seconds(&p.theft_delays_s, 0.95),
            p.power_cuts.1.len(),
            p.power_cuts.0,
            seconds(&p.power_cuts.1, 0.95),
            p.silences.1.len(),
            p.silences.0,
            seconds(&p.silences.1, 0.95),
            p.unguarded,
            minute.0,
            minute.1,
            alarms.0,
            alarms.1,
        );
    }
}

/// Lists what went wrong with each variant, as JSON lines.
pub fn list(variants: &[Variant], answers: &[Vec<(String, Answer)>]) {
    for (variant, answers) in std::iter::zip(variants, answers) {
        for (vehicle, answer) in answers {
            for t in &answer.score.false_alarms {
                let kind = answer.woken.iter().find(|(at, _)| at == t).map(|(_, kind)| kind.as_str());
                println!(
                    "{}",
                    serde_json::json!({ "variant": variant.name, "vehicle": vehicle, "false_alarm": t, "kind": kind })
                );
            }
            if let Some(n) = answer.score.noticed.as_ref().filter(|n| is_late(n.class, n.delay_s)) {
                println!(
                    "{}",
                    serde_json::json!({ "variant": variant.name, "vehicle": vehicle, "sub": n.sub, "delay_s": n.delay_s,
                        "oracle_in_a_minute": n.oracle_in_a_minute })
                );
            }
        }
    }
}

fn is_late(class: Class, delay_s: Option<f64>) -> bool {
    match class {
        Class::Theft => delay_s.is_none_or(|d| d > 60.0),
        Class::PowerCut | Class::Silent => delay_s.is_none(),
    }
}

/// Vehicles whose owners were woken at other times than with the first variant.
fn differing(answers: &[Vec<(String, Answer)>], here: &[(String, Answer)]) -> usize {
    let Some(first) = answers.first() else { return 0 };
    std::iter::zip(first, here).filter(|((_, a), (_, b))| a.woken != b.woken).count()
}

/// Against the first variant, over the same vehicles: thefts noticed within a minute and episodes
/// of false alarms, gained and lost.
fn paired(first: &[(String, Answer)], here: &[(String, Answer)]) -> [(usize, usize); 2] {
    let minute =
        |s: &Score| usize::from(s.noticed.as_ref().is_some_and(|n| n.class == Class::Theft && n.in_a_minute()));
    let alarms = |s: &Score| s.false_alarms.len();
    let mut differences = [(0, 0); 2];
    for ((_, a), (_, b)) in std::iter::zip(first, here) {
        for (difference, (before, after)) in std::iter::zip(
            &mut differences,
            [(minute(&a.score), minute(&b.score)), (alarms(&a.score), alarms(&b.score))],
        ) {
            difference.0 += after.saturating_sub(before);
            difference.1 += before.saturating_sub(after);
        }
    }
    differences
}

/// A 95 % interval by drawing vehicles at random; the draw is the same in every run.
fn interval(answers: &[(String, Answer)], figure: impl Fn(&Pooled) -> f64) -> (f64, f64) {
    // Only vehicles that were stolen matter to the figure, and they are few.
    let thefts: Vec<&Score> = answers
        .iter()
        .map(|(_, a)| &a.score)
        .filter(|s| s.noticed.as_ref().is_some_and(|n| n.class == Class::Theft))
        .collect();
    if thefts.is_empty() {
        return (0.0, 0.0);
    }
    let mut random: u64 = 1;
    let mut draw = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thefts[(random >> 33) as usize % thefts.len()]
    };
    let mut figures: Vec<f64> =
        (0..RESAMPLES).map(|_| figure(&Pooled::of((0..thefts.len()).map(|_| draw()).collect::<Vec<_>>()))).collect();
    figures.sort_by(f64::total_cmp);
    (quantile(&figures, 0.025).unwrap_or_default(), quantile(&figures, 0.975).unwrap_or_default())
}

/// The one-sided 95 % upper bound of a Poisson mean of which `count` events were seen.
fn poisson_upper(count: usize) -> f64 {
    let (mut low, mut high) = (0.0_f64, 3.0 * count as f64 + 20.0);
    for _ in 0..60 {
        let mean = f64::midpoint(low, high);
        let mut term = (-mean).exp();
        let mut at_most = 0.0;
        for i in 0..=count {
            at_most += term;
            term *= mean / (i + 1) as f64;
        }
        if at_most > 0.05 { low = mean } else { high = mean }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_seen_still_allows_three() {
        assert!((poisson_upper(0) - 3.0).abs() < 0.01);
        assert!((poisson_upper(10) - 16.96).abs() < 0.01);
    }
}
