//! The cost of one call into an adapter, and of loading an adapter.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use hoth_adapter::Adapter as _;
use hoth_adapter::testing::job;
use hoth_atat::Atat;
use hoth_core::domain::Timestamp;
use hoth_runtime::Adapter;
use hoth_runtime::Call;
use hoth_runtime::Config;
use hoth_runtime::Engine;
use hoth_runtime::EntryPoint;
use hoth_runtime::JobContext;

use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::host::Built;

/// Calls before the measured ones.
const WARM_UP: usize = 2_000;

/// Measured calls, and measured loads.
const CALLS: usize = 20_000;
const LOADS: usize = 20;

/// The request of an adapter with one call: see `plugins/hello`.
const SMALL_INPUT: &str =
    r#"{"jobId":"81b31a89-e3e5-46ee-acfe-75436bd14577","portfolioId":"p-1","payload":{}}"#;

/// A job of 800 bytes, as the host passes it to an adapter.
pub const INPUT: &str = r#"{"jobId":"81b31a89-e3e5-46ee-acfe-75436bd14577","userId":"21d18790-bf3e-4529-a361-460ee6d16e0b","portfolioId":"b02e77d1-234d-4e3d-bc85-b57ca5a93952","payload":{"name":"Sample Portfolio","taskOrders":[{"taskOrderNumber":"1234567890123","popStartDate":"2021-07-01","popEndDate":"2022-07-01","clins":[{"clinNumber":"0001","type":"CLOUD","classificationLevel":"UNCLASSIFIED","popStartDate":"2021-07-01","popEndDate":"2022-07-01"},{"clinNumber":"0002","type":"NON_CLOUD","classificationLevel":"SECRET","popStartDate":"2021-07-01","popEndDate":"2022-07-01"},{"clinNumber":"0003","type":"CLOUD","classificationLevel":"TOP_SECRET","popStartDate":"2021-07-01","popEndDate":"2022-07-01"}]}]}}"#;

/// The adapter's settings in that request.
pub const SETTINGS: &str = r#"{"api_version":"1.3.1"}"#;

/// Measures one call in a fresh instance: of a small adapter, and of the
/// bundled one beside the same Rust code run natively.
pub async fn isolated(built: &Built) -> anyhow::Result<Vec<Figure>> {
    let small = JobContext {
        operation: "get-portfolio".to_owned(),
        input: SMALL_INPUT.to_owned(),
        ..facts()
    };
    let row = |name, measured, limit, target| Figure { name, measured, unit: "us", limit, target };
    Ok(vec![
        row(
            "small adapter, one call in a fresh instance, p50",
            call(&built.small_adapter, &small).await?,
            None,
            Target::AtMost(15.0),
        ),
        row(
            "bundled adapter with an 800-byte request, p50",
            call(&built.adapter, &facts()).await?,
            Some(("the same Rust, native", native())),
            Target::AtMost(12.0),
        ),
    ])
}

/// Returns the median time of a call in microseconds.
async fn call(adapter: &Path, facts: &JobContext) -> anyhow::Result<f64> {
    let cache = tempfile::tempdir().context("making a temporary folder")?;
    let adapter = load(adapter, &engine(cache.path())?).await?;
    let mut samples = Vec::with_capacity(CALLS);
    for n in 0..WARM_UP + CALLS {
        let started_at = Instant::now();
        let call = Call {
            facts,
            now: Timestamp::from_millis(1_893_542_400_000),
            entropy: (1, 2),
            entry: EntryPoint::Begin,
        };
        adapter.call(call).await?;
        if n >= WARM_UP {
            samples.push(micros(started_at.elapsed()));
        }
    }
    Ok(quantile(&mut samples, 0.5))
}

/// Measures compiling and loading from the cache, for a small adapter and for
/// the bundled one.
pub async fn loading(built: &Built) -> anyhow::Result<Vec<Figure>> {
    let row = |name, measured, target| Figure { name, measured, unit: "ms", limit: None, target };
    let (small, small_cached) = load_times(&built.small_adapter).await?;
    let (bundled, bundled_cached) = load_times(&built.adapter).await?;
    Ok(vec![
        row("small adapter, compiled and loaded, p50", small, Target::AtMost(100.0)),
        row("small adapter, loaded from the cache, p50", small_cached, Target::AtMost(0.5)),
        row("bundled adapter, compiled and loaded, p50", bundled, Target::None),
        row("bundled adapter, loaded from the cache, p50", bundled_cached, Target::None),
    ])
}

/// Returns the median times of loading with an empty cache and with a full one,
/// in milliseconds.
async fn load_times(adapter: &Path) -> anyhow::Result<(f64, f64)> {
    let mut compiled = Vec::with_capacity(LOADS);
    let mut cached = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        let cache = tempfile::tempdir().context("making a temporary folder")?;
        for samples in [&mut compiled, &mut cached] {
            let engine = engine(cache.path())?;
            let started_at = Instant::now();
            load(adapter, &engine).await?;
            samples.push(micros(started_at.elapsed()) / 1_000.0);
        }
    }
    Ok((quantile(&mut compiled, 0.5), quantile(&mut cached, 0.5)))
}

/// Returns the median time of the same call run natively, in microseconds.
fn native() -> f64 {
    let mut samples = Vec::with_capacity(CALLS);
    for _ in 0..WARM_UP + CALLS {
        let started_at = Instant::now();
        let job = job("add-portfolio", black_box(INPUT)).settings(SETTINGS).build();
        let step = Atat::begin(&job);
        samples.push(micros(started_at.elapsed()));
        drop(black_box(step));
    }
    quantile(&mut samples[WARM_UP..], 0.5)
}

fn engine(cache: &Path) -> anyhow::Result<Engine> {
    let config = Config { cache_directory: Some(cache.join("cache")), ..Config::default() };
    Engine::new(&config).context("setting up the adapter engine")
}

async fn load(adapter: &Path, engine: &Engine) -> anyhow::Result<Adapter> {
    let wasm = std::fs::read(adapter).with_context(|| format!("reading {}", adapter.display()))?;
    engine.load("adapter", wasm).await.context("loading the adapter")
}

fn facts() -> JobContext {
    JobContext {
        id: "81b31a89-e3e5-46ee-acfe-75436bd14577".to_owned(),
        operation: "add-portfolio".to_owned(),
        input: INPUT.to_owned(),
        settings: SETTINGS.to_owned(),
        attempt: 1,
        context: Vec::new(),
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000_000.0
}
