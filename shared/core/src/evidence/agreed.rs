//! Two vantage points: the control Region's health check and the witness's.

use jiff::{SignedDuration, Timestamp};

use super::{Evidence, MemberEvidence, Observer, Verdict};

impl Evidence {
    /// What the control Region's evidence and the witness's say together.
    ///
    /// With both fresh and their observers well, a member is bad only if both say so, and good
    /// only if both say so; where they disagree about a bad one nobody knows. If one is stale,
    /// absent or its observer sick, the other speaks alone. If neither can speak, the control
    /// Region's is given as it is: whoever uses it looks at its age and its observer anyway. A
    /// witness that cannot speak is nobody's evidence: it would keep others from looking themselves.
    #[must_use]
    pub fn agreed(
        control: Option<&Self>,
        witness: Option<&Self>,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Option<Self> {
        let speaks = |evidence: &&Self| {
            evidence.observer == Observer::Well && evidence.is_fresh(now, max_age)
        };
        match (control.filter(speaks), witness.filter(speaks)) {
            (Some(control), Some(witness)) => Some(control.with_witness(witness)),
            (Some(alone), None) | (None, Some(alone)) => Some(alone.alone()),
            (None, None) => control.map(Self::alone),
        }
    }

    fn alone(&self) -> Self {
        Self {
            vantage_points: 1,
            ..self.clone()
        }
    }

    fn with_witness(&self, witness: &Self) -> Self {
        let members = self
            .members
            .iter()
            .map(|seen| match witness.member(&seen.region) {
                Some(too) => seen.and(too),
                // The witness's settings lag behind: of this member there is one view.
                None => seen.clone(),
            });
        Self {
            observed_at: self.observed_at.min(witness.observed_at),
            vantage_points: 2,
            members: members.collect(),
            ..self.clone()
        }
    }
}

impl MemberEvidence {
    /// One member as two vantage points saw it.
    fn and(&self, witness: &Self) -> Self {
        let verdict = both(self.verdict, witness.verdict);
        let detail = if self.verdict == witness.verdict {
            self.detail.clone()
        } else {
            format!(
                "the vantage points disagree: {} ({}) from the control Region, {} ({}) from the witness",
                self.verdict.as_str(),
                self.detail,
                witness.verdict.as_str(),
                witness.detail
            )
        };
        let mut seen = self.seen.clone();
        for (origin, at) in &witness.seen {
            let newest = seen.entry(origin.clone()).or_insert(*at);
            *newest = (*newest).max(*at);
        }
        // One of them may have found out later than the other, or have asked while the source was
        // away; a copy newer than the one left behind shows a rule again.
        let mut out_of_scope = self.out_of_scope.clone();
        for (origin, left) in &witness.out_of_scope {
            let newest = out_of_scope.entry(origin.clone()).or_insert(*left);
            *newest = (*newest).max(*left);
        }
        out_of_scope.retain(|origin, left| seen.get(origin).copied() <= *left);
        seen.retain(|origin, _| !out_of_scope.contains_key(origin));
        let mut passed_over = &self.passed_over | &witness.passed_over;
        passed_over.retain(|origin| out_of_scope.contains_key(origin));
        Self {
            region: self.region.clone(),
            verdict,
            detail,
            // Both have said it since the later of the two began to.
            since: self.since.max(witness.since),
            last_write: self.last_write.max(witness.last_write),
            seen,
            out_of_scope,
            passed_over,
            tracked: self.tracked.clone(),
            latency_millis: self.latency_millis,
            bad_rounds: self.bad_rounds.min(witness.bad_rounds),
        }
    }
}

/// What two verdicts come to: bad and good need both, and what is to be mended outranks what passes.
fn both(one: Verdict, other: Verdict) -> Verdict {
    use Verdict::{Bad, Good, Misconfigured, ObserverSick, Throttled, Unknown};
    match (one, other) {
        (same, again) if same == again => same,
        (Good, worse) | (worse, Good) if worse != Bad => worse,
        (Bad, _) | (_, Bad) => Unknown,
        (Misconfigured, _) | (_, Misconfigured) => Misconfigured,
        (Throttled, _) | (_, Throttled) => Throttled,
        (ObserverSick | Unknown | Good, _) => Unknown,
    }
}
