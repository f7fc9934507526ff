//! The configuration of a host whose CSP is a local AWS.

use crate::config::HostConfig;
use crate::mock_aws::MockAws;

/// A part of AWS to provision in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsPartition {
    Commercial,
    /// Environments are pairs of accounts.
    GovCloud,
}

impl AwsPartition {
    /// Returns the name of the partition in ARNs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::GovCloud => "aws-us-gov",
        }
    }

    /// Returns the end of the names that the local AWS gives to its endpoints
    /// and keys.
    fn suffix(self) -> &'static str {
        match self {
            Self::Commercial => "",
            Self::GovCloud => "-gov",
        }
    }
}

/// The tables of one CSP while they are written.
struct Tables<'a> {
    csp: &'a str,
    aws: &'a MockAws,
    text: String,
}

impl Tables<'_> {
    /// Adds an endpoint: its place, what it signs for, and its credential.
    fn endpoint(&mut self, name: &str, at: &str, credential: &str) -> anyhow::Result<()> {
        let (url, signing) = (self.aws.url(at)?, self.signing(at));
        self.text.push_str(&format!(
            "[csp.{}.endpoints.{name}]\nurl = \"{url}\"\ncredential = \"{credential}\"\n\
             signing = {signing}\n",
            self.csp
        ));
        Ok(())
    }

    /// Adds a named credential.
    fn keys(&mut self, name: &str) {
        let (csp, variable) = (self.csp, variable(self.csp, name));
        self.text.push_str(&format!(
            "[csp.{csp}.credentials.{name}.aws_sigv4]\n\
             access_key_id = {{ env = \"{variable}_ID\" }}\n\
             secret_access_key = {{ env = \"{variable}_SECRET\" }}\n"
        ));
    }

    /// Adds the role with which a new account joins the organization.
    fn new_account(&mut self) -> anyhow::Result<()> {
        let (csp, sts) = (self.csp, self.aws.url("sts-gov")?);
        let signing = self.signing("organizations-gov");
        self.text.push_str(&format!(
            "[csp.{csp}.credentials.new-account.aws_sigv4]\nsigning = {signing}\n\
             [csp.{csp}.credentials.new-account.aws_sigv4.assume_role]\nfrom = \"default\"\n\
             role_arn = \"arn:aws-us-gov:iam::{{account}}:role/OrganizationAccountAccessRole\"\n\
             parameters = {{ account = \"[0-9]{{12}}\" }}\nsts_url = \"{sts}\"\n\
             region = \"us-gov-west-1\"\n"
        ));
        Ok(())
    }

    fn signing(&self, at: &str) -> String {
        let place = &self.aws.document()["endpoints"][at];
        format!("{{ service = {}, region = {} }}", place["service"], place["region"])
    }
}

/// Returns the beginning of the environment variables of a key.
fn variable(csp: &str, key: &str) -> String {
    format!("{csp}_{}", key.to_uppercase())
}

impl HostConfig {
    /// Adds `name`, a part of a local AWS that is served by the `aws` adapter,
    /// with more `settings` as the inside of an inline table.
    ///
    /// # Errors
    ///
    /// Returns an error if the local AWS did not print its parts.
    pub fn aws(
        self,
        name: &str,
        aws: &MockAws,
        partition: AwsPartition,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let suffix = partition.suffix();
        let at = |service: &str| format!("{service}{suffix}");
        let mut tables = Tables { csp: name, aws, text: String::new() };
        let (govcloud, named) = match partition {
            AwsPartition::Commercial => {
                tables.endpoint("costs", "ce", "default")?;
                ("", "")
            }
            AwsPartition::GovCloud => {
                tables.endpoint("commercial-organizations", "organizations", "commercial")?;
                tables.endpoint("costs", "ce", "commercial")?;
                tables.keys("commercial");
                tables.new_account()?;
                ("govcloud = {}, ", "\"new-account\"")
            }
        };
        tables.endpoint("identity-store", &at("identitystore"), "identity")?;
        tables.endpoint("identity-center", &at("sso"), "identity")?;
        tables.keys("identity");
        let base = at("organizations");
        let (url, signing, variable_of_default) =
            (aws.url(&base)?, tables.signing(&base), variable(name, "default"));
        let root = aws.id(partition.name(), "root")?;
        let permission_set = aws.id(partition.name(), "permission_set")?;
        let table = format!(
            "[csp.{name}]\nadapter = \"aws\"\nbase_url = \"{url}\"\n\
             named_credentials = [{named}]\n\
             settings = {{ root = \"{root}\", permission_set = \"{permission_set}\", \
             account_email = \"cloud+{{id}}@example.mil\", {govcloud}{settings} }}\n\
             [csp.{name}.aws_sigv4]\nsigning = {signing}\n\
             access_key_id = {{ env = \"{variable_of_default}_ID\" }}\n\
             secret_access_key = {{ env = \"{variable_of_default}_SECRET\" }}\n{}",
            tables.text
        );
        let mut config = self.csp_table(&table);
        for (key, of_aws) in [
            ("default", format!("management{suffix}")),
            ("commercial", "management".to_owned()),
            ("identity", format!("identity{suffix}")),
        ] {
            let (variable, key) = (variable(name, key), aws.key(&of_aws)?);
            config = config
                .environment(&format!("{variable}_ID"), &key.id)
                .environment(&format!("{variable}_SECRET"), &key.secret);
        }
        Ok(config)
    }
}
