//! Whether a caller may do one thing to one resource: by their own policies, and by those of the
//! resource.
//!
//! The owner of the account may do everything. For everybody else, what is not allowed is denied.

use domain::FunctionRef;
use domain::names::ACCOUNT_ID;
use domain::policy::{
    Context, Decision, Place, PolicyDocument, PolicyKind, Principal, Request, evaluate,
};

use serde_json::json;

use super::identities::{Holdings, Role, State, User};
use super::trail::Decided;
use super::{Caller, Denied, Grant, Identity, Refused};
use crate::app::App;
use crate::registry::ResourcePolicy;
use crate::time_text::rfc3339_s;

/// A grant for `action` on `resource`, which is spelt canonically: an ARN in any region, or `*`. What was
/// decided is noted in the caller's trail.
///
/// # Errors
///
/// [`Refused`].
pub(crate) fn authorise(
    app: &App,
    caller: &Caller,
    action: &'static str,
    resource: &str,
) -> Result<Grant, Refused> {
    authorise_with(app, caller, action, resource, &[])
}

/// As [`authorise`], with condition keys that only the operation knows, such as
/// `lambda:FunctionUrlAuthType` or `aws:RequestTag/NAME`. One that has more than one value is there
/// more than once.
///
/// # Errors
///
/// [`Refused`].
pub(crate) fn authorise_with(
    app: &App,
    caller: &Caller,
    action: &'static str,
    resource: &str,
    keys: &[(&str, &str)],
) -> Result<Grant, Refused> {
    let denied = denial(app, caller, (action, resource), keys);
    caller.trail.note(Decided {
        action,
        resource: resource.to_owned(),
        denied: denied.clone(),
    });
    if let Some(because) = denied {
        return Err(Refused::Denied(Denied {
            caller: caller.arn(),
            action,
            resource: resource.to_owned(),
            because,
        }));
    }
    if !app.audit.allows(action) {
        return Err(Refused::Unrecorded);
    }
    Ok(Grant(()))
}

/// Whether a caller may, for what is told only to who may know: it is no grant, and is not in the audit log.
pub(crate) fn may(app: &App, caller: &Caller, action: &'static str, resource: &str) -> bool {
    denial(app, caller, (action, resource), &[]).is_none()
}

/// Why a caller may not; `None` when the caller may.
fn denial(
    app: &App,
    caller: &Caller,
    (action, resource): (&'static str, &str),
    keys: &[(&str, &str)],
) -> Option<String> {
    if caller.identity == Identity::Root {
        return None;
    }
    let state = app.identities.now();
    let mut question = Question {
        region: &app.config.region,
        action,
        resource,
        own: ResourceSide::of(app, resource),
        context: of_request(caller, app.clock.unix_us()),
    };
    for (key, value) in keys {
        question.context.add(key, *value);
    }
    let user = caller
        .identity
        .user_name()
        .and_then(|name| state.users.get(name));
    // A user who was deleted since the signature was verified holds nothing.
    let decision = user.map_or(Decision::NotAllowed, |user| {
        question.ask(&state, Who::User(user)).decision
    });
    (!decision.is_allowed()).then(|| because(&decision, action))
}

fn because(decision: &Decision, action: &str) -> String {
    match decision {
        Decision::Denied(Place {
            kind: PolicyKind::Identity,
            ..
        }) => "with an explicit deny in an identity-based policy".to_owned(),
        Decision::Denied(_) => "with an explicit deny in a resource-based policy".to_owned(),
        Decision::Allowed(_) | Decision::NotAllowed => {
            format!("because no identity-based policy allows the {action} action")
        }
    }
}

/// What a resource says of itself.
#[derive(Debug, Default)]
pub(crate) struct ResourceSide {
    pub(crate) policies: Vec<PolicyDocument>,
    pub(crate) tags: Vec<(String, String)>,
}

impl ResourceSide {
    /// The policies and tags of the function, or of its version or alias, that a resource name is about;
    /// the tags of a user or role.
    pub(crate) fn of(app: &App, resource: &str) -> Self {
        if resource.starts_with(IAM) {
            return Self::of_identity(&app.identities.now(), resource);
        }
        if !resource.starts_with("arn:aws:lambda:") {
            return Self::default();
        }
        let Ok(named) = FunctionRef::parse(resource) else {
            return Self::default();
        };
        let Some(function) = app.registry.function(&named.name) else {
            return Self::default();
        };
        let qualifier = named.qualifier.map(|qualifier| qualifier.to_string());
        let policy = function
            .settings
            .policies
            .get(qualifier.as_deref().unwrap_or(""));
        Self {
            policies: policy
                .map(|policy| understood(policy, resource))
                .into_iter()
                .collect(),
            tags: function.settings.tags.clone().into_iter().collect(),
        }
    }

    /// The tags of the user or role of an ARN.
    pub(crate) fn of_identity(state: &State, arn: &str) -> Self {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        let user = state.users.get(name).filter(|user| user.arn() == arn);
        let role = state.roles.get(name).filter(|role| role.arn() == arn);
        let tags = user
            .map(|user| &user.record.tags)
            .or_else(|| role.map(|role| &role.record.tags));
        Self {
            policies: Vec::new(),
            tags: tags.cloned().unwrap_or_default(),
        }
    }
}

/// What the names of users, roles and policies begin with.
const IAM: &str = "arn:aws:iam:";

/// What a stored policy says. One that is not understood any more denies everything: nobody knows what
/// it was to protect.
fn understood(policy: &ResourcePolicy, resource: &str) -> PolicyDocument {
    let text = json!({ "Version": "2012-10-17", "Statement": policy.statements }).to_string();
    PolicyDocument::parse_resource(&text).unwrap_or_else(|error| {
        tracing::error!(%error, resource, "a stored resource policy is not understood, and denies all");
        PolicyDocument::deny_all()
    })
}

/// Whose policies count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who<'a> {
    User(&'a User),
    Role(&'a Role),
}

impl Who<'_> {
    fn holdings(&self) -> &Holdings {
        match self {
            Self::User(user) => &user.holdings,
            Self::Role(role) => &role.holdings,
        }
    }
}

/// What is to be decided.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// The server's own region.
    pub(crate) region: &'a str,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) own: ResourceSide,
    pub(crate) context: Context,
}

/// What was decided, and where it says so.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    /// The policy that decided: its name or ARN, or that of the resource.
    pub(crate) policy: Option<String>,
    /// The statement's `Sid`.
    pub(crate) sid: Option<String>,
}

impl Question<'_> {
    /// Asks the policies of somebody, and those of the resource.
    pub(crate) fn ask(self, state: &State, who: Who<'_>) -> Answer {
        let mut context = self.context;
        let (arn, session);
        let principal = match who {
            Who::User(user) => {
                arn = user.arn();
                Principal::User {
                    id: &user.record.id,
                }
            }
            Who::Role(role) => {
                arn = role.arn();
                let name = &role.record.name;
                session = format!("arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/simulated");
                Principal::Role {
                    id: &role.record.id,
                    session: &session,
                }
            }
        };
        describe_principal(&mut context, who, &arn);
        describe_resource(&mut context, self.resource, &self.own.tags);
        context.set("aws:RequestedRegion", self.region);
        let (names, identity): (Vec<&str>, Vec<&PolicyDocument>) =
            state.documents(who.holdings()).into_iter().unzip();
        let resource: Vec<&PolicyDocument> = self.own.policies.iter().collect();
        let request = Request {
            principal,
            action: self.action,
            resource: self.resource,
            region: self.region,
            context,
        };
        let decision = evaluate(&identity, &resource, &request);
        let place = match &decision {
            Decision::Allowed(place) | Decision::Denied(place) => Some(*place),
            Decision::NotAllowed => None,
        };
        let (policy, sid) = place.map_or((None, None), |place| {
            let (name, documents) = match place.kind {
                PolicyKind::Identity => (names.get(place.policy).copied(), &identity),
                PolicyKind::Resource => (Some(self.resource), &resource),
            };
            let document = documents.get(place.policy);
            let sid = document.and_then(|document| document.sid(place.statement));
            (
                name.map(str::to_owned),
                sid.map(str::to_owned)
                    .or_else(|| Some(format!("statement {}", place.statement + 1))),
            )
        });
        Answer {
            decision,
            policy,
            sid,
        }
    }
}

/// What conditions may know of who asks.
fn describe_principal(context: &mut Context, who: Who<'_>, arn: &str) {
    let tags = match who {
        Who::User(user) => {
            context.set("aws:username", &*user.record.name);
            context.set("aws:userid", &*user.record.id);
            context.set("aws:PrincipalType", "User");
            &user.record.tags
        }
        Who::Role(role) => {
            context.set("aws:userid", format!("{}:simulated", role.record.id));
            context.set("aws:PrincipalType", "AssumedRole");
            &role.record.tags
        }
    };
    for (name, value) in tags {
        context.set(&format!("aws:PrincipalTag/{name}"), value);
    }
    context.set("aws:PrincipalArn", arn);
    context.set("aws:PrincipalAccount", ACCOUNT_ID);
}

/// What conditions may know of what is asked for.
fn describe_resource(context: &mut Context, resource: &str, tags: &[(String, String)]) {
    context.set("aws:ResourceAccount", ACCOUNT_ID);
    for (name, value) in tags {
        context.set(&format!("aws:ResourceTag/{name}"), value);
        if resource.starts_with(IAM) {
            context.set(&format!("iam:ResourceTag/{name}"), value);
        }
    }
    if resource.starts_with("arn:aws:lambda:") {
        context.set("lambda:FunctionArn", resource);
    }
}

/// What conditions may know of a request, apart from who asks for what.
pub(crate) fn of_request(caller: &Caller, now_us: i64) -> Context {
    let mut context = of_time(now_us);
    context.set("aws:SourceIp", caller.source.to_canonical().to_string());
    context.set("aws:SecureTransport", caller.is_secure.to_string());
    if let Some(user_agent) = &caller.user_agent {
        context.set("aws:UserAgent", user_agent);
    }
    context
}

/// What conditions may know without a request.
pub(crate) fn of_time(now_us: i64) -> Context {
    let mut context = Context::default();
    context.set("aws:CurrentTime", rfc3339_s(now_us));
    context.set("aws:EpochTime", now_us.div_euclid(1_000_000).to_string());
    context.set("aws:ViaAWSService", "false");
    context.set("aws:PrincipalIsAWSService", "false");
    context
}

#[cfg(test)]
mod tests {
    use domain::policy::{KeySource, condition_keys};

    use super::*;
    use crate::auth::identities::tests::Home;
    use crate::auth::trail::Trail;

    /// A Deny on a key that nobody sets would never come.
    #[test]
    fn every_key_that_comes_from_the_request_is_set() {
        let home = Home::new();
        let tags = vec![("team".to_owned(), "a".to_owned())];
        let bob = home.identities.create_user("bob", "/", tags).unwrap();
        let caller = Caller {
            identity: Identity::User("bob".into()),
            access_key_id: "AKIA".into(),
            source: [127, 0, 0, 1].into(),
            region: "us-east-1".into(),
            user_agent: Some("Boto3".to_owned()),
            is_secure: false,
            trail: Trail::default(),
        };
        let mut context = of_request(&caller, 0);
        context.set("aws:RequestedRegion", "local");
        let arn = bob.arn();
        describe_principal(&mut context, Who::User(&bob), &arn);
        let own = ResourceSide::of_identity(&home.identities.now(), &arn);
        describe_resource(&mut context, &arn, &own.tags);
        describe_resource(
            &mut context,
            "arn:aws:lambda:local:000000000000:function:f",
            &[],
        );
        for (key, source) in condition_keys() {
            assert_eq!(context.has(key), source == KeySource::Request, "{key}");
        }
        let gone = ResourceSide::of_identity(&home.identities.now(), &arn.replace("bob", "rob"));
        assert!(gone.tags.is_empty());
    }
}
