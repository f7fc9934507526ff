//! The report of a replay, for people and for programs.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use super::Difference;
use super::Policy;
use hoth_core::domain::Digest;

/// The behavior of a candidate on recorded jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    pub adapter: String,
    /// The version that the candidate was compared with; `None` if none is
    /// active.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub active: Option<ComparedVersion>,
    pub candidate: ComparedVersion,
    pub policy: Policy,
    pub verdict: Verdict,
    pub jobs: JobCounts,
    /// `None` if no job was replayed completely by both versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timing: Option<Timing>,
    /// Jobs with differences, grouped by equal differences, the most frequent
    /// first.
    pub findings: Vec<Finding>,
    /// Remarks about the replay itself.
    pub notes: Vec<String>,
    pub took_ms: u64,
}

/// One of the two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedVersion {
    /// The version in the component's description.
    pub version: String,
    pub sha256: Digest,
}

/// The result for a candidate: the worst finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing could be compared.
    Untested,
    /// The same steps as the active version.
    Same,
    /// The same steps, but more time.
    Slower,
    /// Other steps than the active version.
    Different,
    /// A failed call where the active version succeeds.
    Trap,
}

impl Verdict {
    /// Returns the name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untested => "untested",
            Self::Same => "same",
            Self::Slower => "slower",
            Self::Different => "different",
            Self::Trap => "trap",
        }
    }
}

/// The numbers of jobs by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCounts {
    pub journals: usize,
    pub same: usize,
    pub different: usize,
    pub trap: usize,
    /// Jobs that the active version breaks and the candidate does not: no reason
    /// for a refusal.
    pub mended: usize,
    /// Jobs whose steps the active version does not repeat, so that it is no
    /// reference.
    pub not_comparable: usize,
    /// Jobs that were skipped, because the time was up or the candidate broke too
    /// many jobs.
    pub not_replayed: usize,
}

/// The time of one job's calls: the median over the jobs that both versions
/// replayed completely, each timed several times in the same replay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    pub active_us: u64,
    pub candidate_us: u64,
    pub ratio: f64,
    pub slower: bool,
}

/// Jobs with equal differences, shown by one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub kind: FindingKind,
    pub operation: String,
    /// The number of jobs.
    pub jobs: usize,
    /// The id of the job that is shown.
    pub example: String,
    pub calls: Vec<CallDifferences>,
    /// The reason why the comparison ended early, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// The kind of a difference, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    Trap,
    Different,
    Mended,
}

/// The differences at one call of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDifferences {
    /// The call: `call 1 (begin)`, `call 2 (response 202)`.
    pub at: String,
    pub differences: Vec<Difference>,
}

/// Lines of a report for people. The JSON form is complete.
const LINES_MAX: usize = 200;

impl ReplayReport {
    /// Returns `true` if the policy prevents the activation of the candidate.
    pub fn refuses(&self) -> bool {
        match (self.policy, self.verdict) {
            (Policy::Block, Verdict::Slower | Verdict::Different | Verdict::Trap) => true,
            // `Untested` does not refuse: otherwise the first version of an adapter,
            // which has nothing to be compared with, could not be deployed.
            (Policy::Block, Verdict::Untested | Verdict::Same)
            | (Policy::Off | Policy::Warn, _) => false,
        }
    }

    /// Returns the verdict and its numbers in one sentence.
    pub fn summary(&self) -> String {
        let JobCounts { journals, same, different, trap, mended, not_comparable, not_replayed } =
            self.jobs;
        if journals == 0 {
            return "untested: no journals of this adapter".to_owned();
        }
        let mut parts = vec![format!("{same} the same")];
        let mut add = |count: usize, kind: &str| {
            if count > 0 {
                parts.push(format!("{count} {kind}"));
            }
        };
        add(different, "different");
        add(trap, "broken by the candidate");
        add(mended, "mended by it");
        add(not_comparable, "not comparable");
        add(not_replayed, "not replayed");
        let jobs = if journals == 1 { "job" } else { "jobs" };
        format!("{}: of {journals} {jobs}, {}", self.verdict.as_str(), parts.join(", "))
    }
}

impl fmt::Display for ReplayReport {
    /// Writes the report for an operator, without colors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        for line in lines.iter().take(LINES_MAX) {
            writeln!(f, "{line}")?;
        }
        match lines.len().checked_sub(LINES_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => {
                writeln!(f, "… {more} more lines; the admin API returns the complete report")
            }
        }
    }
}

impl ReplayReport {
    fn lines(&self) -> Vec<String> {
        let name = |compared: &ComparedVersion| {
            format!("{} {}", compared.version, compared.sha256.short())
        };
        let mut lines = Vec::new();
        let active = self.active.as_ref().map_or("none".to_owned(), name);
        lines.push(format!("active     {active}"));
        lines.push(format!("candidate  {}", name(&self.candidate)));
        lines.push(format!("verdict    {}", self.summary()));
        if let Some(timing) = self.timing {
            let slower = if timing.slower { ": slower" } else { "" };
            lines.push(format!(
                "time       {} us per job, active version {} us ({:.2} x){slower}",
                timing.candidate_us, timing.active_us, timing.ratio
            ));
        }
        lines.push(format!(
            "policy     {}{}",
            self.policy.as_str(),
            if self.refuses() { ": would be refused" } else { "" }
        ));
        lines.extend(self.notes.iter().map(|note| format!("note       {note}")));
        for finding in &self.findings {
            lines.push(String::new());
            let kind = match finding.kind {
                FindingKind::Trap => "broken",
                FindingKind::Different => "different",
                FindingKind::Mended => "mended",
            };
            lines.push(format!(
                "{} x {} {kind}, for example job {}",
                finding.jobs, finding.operation, finding.example
            ));
            for call in &finding.calls {
                lines.push(format!("  {}", call.at));
                for difference in &call.differences {
                    lines.extend(difference.to_string().lines().map(|line| format!("  {line}")));
                }
            }
            lines.extend(finding.note.iter().map(|note| format!("  ({note})")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn report() -> ReplayReport {
        let sha256 = Digest::of(b"");
        ReplayReport {
            adapter: "atat".to_owned(),
            active: Some(ComparedVersion { version: "1.0.0".to_owned(), sha256 }),
            candidate: ComparedVersion { version: "1.1.0".to_owned(), sha256 },
            policy: Policy::Block,
            verdict: Verdict::Different,
            jobs: JobCounts {
                journals: 60,
                same: 2,
                different: 57,
                mended: 1,
                ..JobCounts::default()
            },
            timing: Some(Timing {
                active_us: 280,
                candidate_us: 300,
                ratio: 1.0714,
                slower: false,
            }),
            findings: vec![Finding {
                kind: FindingKind::Different,
                operation: "add-portfolio".to_owned(),
                jobs: 57,
                example: "job-1".to_owned(),
                calls: vec![CallDifferences {
                    at: "begin".to_owned(),
                    differences: vec![
                        Difference::new("request", Some("POST /portfolios"), Some("POST /v2")),
                        Difference::new("header x-a:", None::<String>, Some("1")),
                    ],
                }],
                note: Some("no more is known".to_owned()),
            }],
            notes: vec!["a note".to_owned()],
            took_ms: 12,
        }
    }

    #[test]
    fn a_report_as_text_has_the_verdict_and_the_findings() {
        expect![[r#"
            active     1.0.0 e3b0c44298fc1c149afbf4c8996fb924
            candidate  1.1.0 e3b0c44298fc1c149afbf4c8996fb924
            verdict    different: of 60 jobs, 2 the same, 57 different, 1 mended by it
            time       300 us per job, active version 280 us (1.07 x)
            policy     block: would be refused
            note       a note

            57 x add-portfolio different, for example job job-1
              begin
              - request POST /portfolios
              + request POST /v2
              + header x-a: 1
              (no more is known)
        "#]]
        .assert_eq(&report().to_string());
        let none =
            ReplayReport { jobs: JobCounts::default(), verdict: Verdict::Untested, ..report() };
        expect!["untested: no journals of this adapter"].assert_eq(&none.summary());
    }

    #[test]
    fn a_report_is_cut_as_text_and_complete_as_json() {
        let mut long = report();
        long.findings = vec![long.findings[0].clone(); 1_000];
        assert_eq!(long.to_string().lines().count(), LINES_MAX + 1);
        let json = serde_json::to_string(&long).unwrap();
        let read: ReplayReport = serde_json::from_str(&json).unwrap();
        assert_eq!(read.findings, long.findings);
    }

    #[test]
    fn only_the_policy_block_refuses_a_candidate_that_is_worse() {
        for (policy, verdict, refuses) in [
            (Policy::Block, Verdict::Untested, false),
            (Policy::Block, Verdict::Same, false),
            (Policy::Block, Verdict::Slower, true),
            (Policy::Block, Verdict::Different, true),
            (Policy::Block, Verdict::Trap, true),
            (Policy::Warn, Verdict::Trap, false),
            (Policy::Off, Verdict::Trap, false),
        ] {
            let report = ReplayReport { policy, verdict, ..report() };
            assert_eq!(report.refuses(), refuses, "{policy:?} {verdict:?}");
        }
    }
}
