//! The condition keys that policies may use.
//!
//! A key of a service that is here must be one of these, so that a slip of the pen in a Deny is an
//! error and not a Deny that never comes. Some of them are never in a request here (nobody signs in
//! with a second factor), which is a known answer too: the key is absent.

/// Lower case. A `/` at the end stands for a key with a name after it, such as a tag's.
const KNOWN: &[&str] = &[
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:currenttime",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principaltag/",
    "aws:principaltype",
    "aws:referer",
    "aws:requestedregion",
    "aws:requesttag/",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:resourceorgpaths",
    "aws:resourcetag/",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:tagkeys",
    "aws:tokenissuetime",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
    "aws:vpcsourceip",
    "iam:associatedresourcearn",
    "iam:awsservicename",
    "iam:passedtoservice",
    "iam:permissionsboundary",
    "iam:policyarn",
    "iam:resourcetag/",
    "lambda:codesigningconfigarn",
    "lambda:eventsourcetoken",
    "lambda:functionarn",
    "lambda:functionurlauthtype",
    "lambda:invokedviafunctionurl",
    "lambda:layer",
    "lambda:principal",
    "lambda:securitygroupids",
    "lambda:sourcefunctionarn",
    "lambda:subnetids",
    "lambda:vpcids",
    "sts:durationseconds",
    "sts:externalid",
    "sts:rolesessionname",
    "sts:sourceidentity",
];

/// Services whose keys are all in [`KNOWN`].
const SERVICES_HERE: &[&str] = &["aws", "iam", "lambda", "logs", "mayfly", "sts"];

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A request has it or does not.
    Known,
    /// Belongs to a service that is not here; what it is in a request can't be known.
    Foreign,
    /// No key at all.
    Unknown,
}

/// What kind of key this is; `key` is lower case.
pub(super) fn kind(key: &str) -> KeyKind {
    let Some((service, name)) = key.split_once(':') else {
        return KeyKind::Unknown;
    };
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !is_word(service) || name.is_empty() {
        return KeyKind::Unknown;
    }
    if !SERVICES_HERE.contains(&service) {
        return KeyKind::Foreign;
    }
    let is_known = KNOWN.iter().any(|known| match known.strip_suffix('/') {
        None => key == *known,
        Some(_) => key.len() > known.len() && key.starts_with(known),
    });
    if is_known {
        KeyKind::Known
    } else {
        KeyKind::Unknown
    }
}
