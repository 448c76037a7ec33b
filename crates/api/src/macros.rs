//! The two forms that every operation file repeats: an operation's constants, and a Smithy union.

/// Declares an operation: its unit struct and its [`Operation`](crate::Operation) constants. The module
/// has its `Input` and `Output`. The method is POST unless one stands before the path; a `? "member"` after it is a
/// member in the query; `; 10 min` at the end is how long it may take, where 30 s are not enough.
macro_rules! operation {
    (
        $(#[$meta:meta])*
        $name:ident: $service:literal $($method:ident)? $path:literal $(? $query:literal)* => $success:literal
        $(, $idempotence:ident)? $(; $minutes:literal min)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl crate::operation::Operation for $name {
            const NAME: &'static str = stringify!($name);
            const METHOD: http::Method = operation!(@method $($method)?);
            const PATH: &'static str = $path;
            const QUERY: &'static [&'static str] = &[$($query),*];
            const SUCCESS: u16 = $success;
            const SERVICE: &'static str = $service;
            const ACTION: &'static str = concat!($service, ":", stringify!($name));
            const IDEMPOTENT: bool = operation!(@idempotent $($idempotence)?);
            const TIME: std::time::Duration = operation!(@time $($minutes)?);
            type Input = Input;
            type Output = Output;
        }
    };
    (@method $method:ident) => { http::Method::$method };
    (@method) => { http::Method::POST };
    (@idempotent not_idempotent) => { false };
    (@idempotent) => { true };
    (@time $minutes:literal) => { std::time::Duration::from_mins($minutes) };
    // `CompleteResourceTokenAuth` may wait 20 s of it for another caller's exchange.
    (@time) => { std::time::Duration::from_secs(30) };
}

/// Declares a Smithy union: an object with exactly one of the named members. Members of newer models are
/// skipped, so that they end in "exactly one of" and not in a parse error.
macro_rules! union {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$variant_meta:meta])* $member:literal => $variant:ident($content:ty),)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $member)] $variant($content),)+
        }

        impl $name {
            /// The name of the member that is set.
            #[must_use]
            pub fn member(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $member,)+
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;

                impl<'de> serde::de::Visitor<'de> for Members {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A>(self, mut map: A) -> Result<$name, A::Error>
                    where
                        A: serde::de::MapAccess<'de>,
                    {
                        let mut members = Vec::with_capacity(1);
                        while let Some(name) = map.next_key::<String>()? {
                            match name.as_str() {
                                $($member => members.push($name::$variant(map.next_value()?)),)+
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        match (members.pop(), members.is_empty()) {
                            (Some(member), true) => Ok(member),
                            _ => Err(serde::de::Error::custom(concat!(
                                "exactly one of these members must be set:",
                                $(" ", $member,)+
                            ))),
                        }
                    }
                }

                deserializer.deserialize_map(Members)
            }
        }
    };
}
