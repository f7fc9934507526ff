//! Configuration from environment variables.

use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::job;

#[tokio::test]
async fn a_setting_that_is_text_in_the_file_stays_text() {
    let csp = csp::scripted([Answer::json(200, &json!({"id": "p"}))]).await;
    let message = Setup::new()
        .csp_with("CSP_TEST", &csp, "settings = { api_version = \"1.3.1\" }")
        .environment("HOTH__CSP__CSP_TEST__SETTINGS__API_VERSION", "1.3")
        .run(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO"))
        .await;
    assert_eq!(message.code(), 200, "{message}");
    let version = csp::header(&csp::calls(&csp)[0], "x-atat-api-version");
    assert_eq!(version.as_deref(), Some("1.3"));
}
