//! `click_matching`.
//!
//! Refuses: attribution itself.

use std::time::Duration;

use crate::config::fields::Fields;
use crate::config::values;
use crate::model::connector::ClickMatching;
use crate::model::delivery::AttributionModel;

/// The longest a conversion may wait for its click (SPEC section 3).
const WAIT_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Reads the mapping; `clicks_kept` bounds the window.
pub fn read(f: &Fields<'_>, clicks_kept: Duration) -> Option<ClickMatching> {
    let params = f.shown_words("param");
    if f.is_empty_list("param") {
        f.ctx.error(f.position("param"), "param: `[]` names no query parameter: write one, like aff_click_id");
    }
    let source_param = f.shown_word("source_param");
    let source_value = f.shown_word("source_value");
    if source_value.is_some() && source_param.is_none() {
        let message = "`source_value` needs `source_param`: the query parameter that holds it, like utm_source";
        f.ctx.error(f.position("source_value"), message);
    }
    let window = f.duration("window").unwrap_or_default();
    if clicks_kept < window && !clicks_kept.is_zero() {
        let (window, kept) = (values::duration_text(window), values::duration_text(clicks_kept));
        let message = format!(
            "window: {window} is longer than clicks are kept (retention.clicks is {kept}): write a shorter window, or keep clicks longer"
        );
        f.ctx.error(f.position("window"), message);
    } else if window.is_zero() {
        f.ctx.error(f.position("window"), "window: `0s` lets no click count: write more, like 14d");
    }
    Some(ClickMatching {
        required: f.boolean("required"),
        unique: f.boolean("unique"),
        ignore_case: f.choice("param_case", &[false, true]).unwrap_or_default(),
        source_param,
        source_value,
        model: f
            .choice("model", &[AttributionModel::LastClick, AttributionModel::AnyClick])
            .unwrap_or(AttributionModel::LastClick),
        window,
        wait: f.parsed("wait", waiting).unwrap_or_default(),
        settle: f.parsed("settle", waiting).unwrap_or_default(),
        params: params?,
    })
}

fn waiting(text: &str) -> Result<Duration, values::Wrong> {
    let duration = values::duration(text)?;
    if duration <= WAIT_MAX { Ok(duration) } else { Err("is too long: at most 90d".to_owned()) }
}
