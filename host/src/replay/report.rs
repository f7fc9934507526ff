//! What came of a replay, for people and for programs.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use super::Difference;
use super::Policy;
use hoth_core::domain::Digest;

/// What a candidate does on the jobs that the host has seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    pub adapter: String,
    /// The version that it was compared with; none where none is active.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub active: Option<ComparedVersion>,
    pub candidate: ComparedVersion,
    pub policy: Policy,
    pub verdict: Verdict,
    pub jobs: JobCounts,
    /// None where no job was gone through by both.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timing: Option<Timing>,
    /// Jobs that are not the same, those that are alike together, the most
    /// frequent first.
    pub findings: Vec<Finding>,
    /// Sentences about the replay itself.
    pub notes: Vec<String>,
    pub took_ms: u64,
}

/// One of the two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedVersion {
    /// As it describes itself.
    pub version: String,
    pub sha256: Digest,
}

/// What a replay says of a candidate: the worst that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There was nothing to compare.
    Untested,
    /// It wants what the active version wants.
    Same,
    /// The same, but it takes longer.
    Slower,
    /// It wants something else.
    Different,
    /// It breaks where the active version does not.
    Trap,
}

impl Verdict {
    /// The word in logs and metrics.
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

/// Jobs by what came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCounts {
    pub journals: usize,
    pub same: usize,
    pub different: usize,
    pub trap: usize,
    /// The active version breaks, the candidate does not. Nobody minds.
    pub mended: usize,
    /// The active version does not go the way that the job went, so there is
    /// nothing to compare with.
    pub not_comparable: usize,
    /// There was no time left.
    pub not_replayed: usize,
}

/// How long one job's calls take: the median of the jobs that both went
/// through, each measured several times, in the same replay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    pub active_us: u64,
    pub candidate_us: u64,
    pub ratio: f64,
    pub slower: bool,
}

/// Jobs that differ alike, shown by one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub kind: FindingKind,
    pub operation: String,
    /// How many jobs there are.
    pub jobs: usize,
    /// The id of the one that is shown.
    pub example: String,
    pub calls: Vec<CallDifferences>,
    /// Why the comparison ended early, where it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// What is the matter with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    Trap,
    Different,
    Mended,
}

/// What differs at one call of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDifferences {
    /// Which call it was: `begin`, `call 2 (answer 202)`.
    pub at: String,
    pub differences: Vec<Difference>,
}

/// Lines of a report that are shown to people; the JSON has all of it.
const LINES_MAX: usize = 200;

impl ReplayReport {
    /// Whether the policy keeps the candidate from serving.
    pub fn refuses(&self) -> bool {
        match (self.policy, self.verdict) {
            (Policy::Block, Verdict::Slower | Verdict::Different | Verdict::Trap) => true,
            (Policy::Block, Verdict::Untested | Verdict::Same)
            | (Policy::Off | Policy::Warn, _) => false,
        }
    }

    /// The verdict and its numbers in one sentence.
    pub fn summary(&self) -> String {
        let JobCounts { journals, same, different, trap, mended, not_comparable, not_replayed } =
            self.jobs;
        if journals == 0 {
            return "untested: there are no journals of this adapter".to_owned();
        }
        let mut parts = vec![format!("{same} the same")];
        let mut add = |count: usize, word: &str| {
            if count > 0 {
                parts.push(format!("{count} {word}"));
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
    /// As an operator reads it, without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        for line in lines.iter().take(LINES_MAX) {
            writeln!(f, "{line}")?;
        }
        match lines.len().checked_sub(LINES_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "… {more} more lines; the admin API has them all"),
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
                "time       {} us for a job, the active version {} us ({:.2} x){slower}",
                timing.candidate_us, timing.active_us, timing.ratio
            ));
        }
        lines.push(format!(
            "policy     {}{}",
            self.policy.as_str(),
            if self.refuses() { ": it would not serve" } else { "" }
        ));
        lines.extend(self.notes.iter().map(|note| format!("note       {note}")));
        for finding in &self.findings {
            lines.push(String::new());
            let what = match finding.kind {
                FindingKind::Trap => "broken",
                FindingKind::Different => "different",
                FindingKind::Mended => "mended",
            };
            lines.push(format!(
                "{} x {} {what}, such as job {}",
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
    fn a_report_reads_as_an_operator_needs_it() {
        expect![[r#"
            active     1.0.0 e3b0c44298fc1c149afbf4c8996fb924
            candidate  1.1.0 e3b0c44298fc1c149afbf4c8996fb924
            verdict    different: of 60 jobs, 2 the same, 57 different, 1 mended by it
            time       300 us for a job, the active version 280 us (1.07 x)
            policy     block: it would not serve
            note       a note

            57 x add-portfolio different, such as job job-1
              begin
              - request POST /portfolios
              + request POST /v2
              + header x-a: 1
              (no more is known)
        "#]]
        .assert_eq(&report().to_string());
        let none =
            ReplayReport { jobs: JobCounts::default(), verdict: Verdict::Untested, ..report() };
        expect!["untested: there are no journals of this adapter"].assert_eq(&none.summary());
    }

    #[test]
    fn a_report_is_cut_for_people_and_whole_for_programs() {
        let mut long = report();
        long.findings = vec![long.findings[0].clone(); 1_000];
        assert_eq!(long.to_string().lines().count(), LINES_MAX + 1);
        let json = serde_json::to_string(&long).unwrap();
        let read: ReplayReport = serde_json::from_str(&json).unwrap();
        assert_eq!(read.findings, long.findings);
    }

    #[test]
    fn only_a_policy_that_blocks_refuses_and_only_what_was_seen_to_be_worse() {
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
