//! What a message says of itself for those who filter: how important it is, and what it is about.

use bootstep::Value;

/// How important a message is (`fedora_messaging_severity`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 10: for debugging; nobody is notified who did not ask for it.
    Debug,
    /// 20, the default: nobody is notified by default.
    #[default]
    Info,
    /// 30: a problem, or otherwise important.
    Warning,
    /// 40: somebody should act soon.
    Error,
}

impl Severity {
    /// Its number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Severity::Debug => 10,
            Severity::Info => 20,
            Severity::Warning => 30,
            Severity::Error => 40,
        }
    }

    /// The severity that a header says.
    pub fn of(value: &Value) -> Option<Self> {
        let number = match value {
            Value::F32(number) => f64::from(*number),
            Value::F64(number) => *number,
            other => other.as_i64()? as f64,
        };
        let all = [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error];
        all.into_iter().find(|severity| f64::from(severity.number()) == number)
    }
}

/// What a message can be filtered by: each name it is about is a header, `fedora_messaging_rpm_kernel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// A user's name.
    User,
    /// A group's.
    Group,
    /// An RPM package's.
    Rpm,
    /// A container image's.
    Container,
    /// A module's.
    Module,
    /// A flatpak's.
    Flatpak,
}

impl About {
    /// What the name of such a header begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            About::User => "fedora_messaging_user_",
            About::Group => "fedora_messaging_group_",
            About::Rpm => "fedora_messaging_rpm_",
            About::Container => "fedora_messaging_container_",
            About::Module => "fedora_messaging_module_",
            About::Flatpak => "fedora_messaging_flatpak_",
        }
    }
}
