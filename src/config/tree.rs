//! The settings as the crate `config` holds them, with what it does not keep by itself: where a table begins.

use config::{Map, Value, ValueKind};

/// The entries of a table.
pub(super) type Tree = Map<String, Value>;

/// Under this name a table holds where it begins: when the crate merges tables, it keeps the origin of what is in them only. No key of
/// a file is empty.
const BEGINS: &str = "";

/// A table that begins there.
pub(super) fn table(mut entries: Tree, origin: &str) -> Value {
    entries.insert(BEGINS.into(), value(ValueKind::Nil, origin));
    Value::new(Some(&origin.to_owned()), entries)
}

/// A value from there.
pub(super) fn value(kind: impl Into<ValueKind>, origin: &str) -> Value {
    Value::new(Some(&origin.to_owned()), kind)
}

/// Where a table begins; one that no file has, where something in it comes from.
pub(super) fn begins(tree: &Tree) -> Option<String> {
    let own = tree.get(BEGINS).and_then(Value::origin).map(str::to_owned);
    own.or_else(|| entries(tree).find_map(|(_, value)| origin_of(value)))
}

/// Where a value comes from.
pub(super) fn origin_of(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Table(tree) => begins(tree),
        _ => value.origin().map(str::to_owned),
    }
}

/// What somebody has written into a table.
pub(super) fn entries(tree: &Tree) -> impl Iterator<Item = (&String, &Value)> {
    tree.iter().filter(|(name, _)| *name != BEGINS)
}

/// Puts a value where a path of keys leads, and makes the tables on the way.
pub(super) fn put(tree: &mut Tree, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        tree.insert(first.clone(), value);
        return;
    }
    let inner = tree.entry(first.clone()).or_insert_with(|| Value::new(None, Tree::new()));
    if !matches!(inner.kind, ValueKind::Table(_)) {
        inner.kind = ValueKind::Table(Tree::new());
    }
    if let ValueKind::Table(inner) = &mut inner.kind {
        put(inner, rest, value);
    }
}

/// What a value is, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value.kind {
        ValueKind::Nil => "empty",
        ValueKind::Boolean(_) => "`true` or `false`",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a number",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}
