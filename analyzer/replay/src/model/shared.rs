//! What several rows say alike, kept once.
//!
//! A request that was seen at several places says the same at all of them, and many requests say what others did. So rows refer to what they say,
//! and those that stand near each other refer to one copy.

use super::{Attributes, Fields, PackedFields, RequestFields};
use ahash::{AHashMap, RandomState};
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// What a request says, perhaps as others do. Whoever changes it has a copy from then on.
#[derive(Clone, Debug, Default)]
pub struct SharedFields(Arc<RequestFields>);

impl SharedFields {
    /// Where the copy lies: as long as both are kept, two are one if this is equal.
    #[must_use]
    pub fn place(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl From<RequestFields> for SharedFields {
    fn from(fields: RequestFields) -> Self {
        Self(Arc::new(fields))
    }
}

impl Deref for SharedFields {
    type Target = RequestFields;

    fn deref(&self) -> &RequestFields {
        &self.0
    }
}

impl DerefMut for SharedFields {
    fn deref_mut(&mut self) -> &mut RequestFields {
        Arc::make_mut(&mut self.0)
    }
}

/// What rows have said so far, by its hash.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    known: AHashMap<u64, SharedFields>,
    hashes: RandomState,
}

impl Sharing {
    /// What a packed row says: the copy that there is, or a new one.
    pub(crate) fn unpacked(&mut self, packed: &PackedFields<'_>) -> SharedFields {
        let mut hasher = self.hashes.build_hasher();
        hash(packed, &mut hasher);
        let key = hasher.finish();
        match self.known.get(&key) {
            Some(known) if is_like(known, packed) => known.clone(),
            // Of two with one hash, which hardly happens, the first is shared.
            Some(_) => SharedFields::from(own(packed)),
            None => {
                let fields = SharedFields::from(own(packed));
                self.known.insert(key, fields.clone());
                fields
            }
        }
    }
}

/// Enough of it that rows which say different things differ in this, nearly always.
fn hash<T: Deref<Target = str>, A: Attributes>(fields: &Fields<T, A>, to: &mut impl Hasher) {
    let Fields { request_resource, result, session_id, code, trace_id, span_id, x_request_id, .. } = fields;
    (session_id, code).hash(to);
    for text in [request_resource, result, trace_id, span_id, x_request_id] {
        text.hash(to);
    }
    for (_, value) in fields.attributes.pairs() {
        value.hash(to);
    }
}

/// Whether both say the same in every field.
fn is_like<T, A, U, B>(a: &Fields<T, A>, b: &Fields<U, B>) -> bool
where
    T: Deref<Target = str>,
    A: Attributes,
    U: Deref<Target = str>,
    B: Attributes,
{
    // A field that is not named here does not compile.
    let Fields {
        l7_protocol,
        version,
        request_type,
        request_domain,
        request_resource,
        endpoint,
        session_id,
        status,
        code,
        exception,
        result,
        trace_id,
        span_id,
        parent_span_id,
        x_request_id,
        user_agent,
        affected_rows,
        is_async,
        attributes,
    } = a;
    **request_resource == *b.request_resource
        && *session_id == b.session_id
        && *status == b.status
        && *code == b.code
        && *affected_rows == b.affected_rows
        && *is_async == b.is_async
        && *l7_protocol == b.l7_protocol
        && *version == b.version
        && **request_type == *b.request_type
        && **request_domain == *b.request_domain
        && **endpoint == *b.endpoint
        && **exception == *b.exception
        && **result == *b.result
        && **trace_id == *b.trace_id
        && **span_id == *b.span_id
        && **parent_span_id == *b.parent_span_id
        && **x_request_id == *b.x_request_id
        && **user_agent == *b.user_agent
        && attributes.pairs().eq(b.attributes.pairs())
}

/// The same with texts of its own.
fn own(packed: &PackedFields<'_>) -> RequestFields {
    let own = |text: &str| Box::<str>::from(text);
    RequestFields {
        l7_protocol: packed.l7_protocol,
        version: packed.version,
        request_type: own(&packed.request_type),
        request_domain: own(&packed.request_domain),
        request_resource: own(&packed.request_resource),
        endpoint: own(&packed.endpoint),
        session_id: packed.session_id,
        status: packed.status,
        code: packed.code,
        exception: own(&packed.exception),
        result: own(&packed.result),
        trace_id: own(&packed.trace_id),
        span_id: own(&packed.span_id),
        parent_span_id: own(&packed.parent_span_id),
        x_request_id: own(&packed.x_request_id),
        user_agent: own(&packed.user_agent),
        affected_rows: packed.affected_rows,
        is_async: packed.is_async,
        attributes: packed.attributes.pairs().map(|(name, value)| (name, own(value))).collect(),
    }
}
