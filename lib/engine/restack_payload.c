/* Payloads: JSON of ours in Temporal's wrapping, large and sensitive ones included. */
#include <azlon/json.h>
#include "restack.h"
#include "restack_blob.h"

/* Durations beyond a century mean never; servers refuse what overflows theirs. */
#define FOREVER_MS (INT64_C(100) * 366 * 86400 * 1000)
/* More metadata than anybody writes. */
enum { META_MAX = 32 };

static const char OP[] = "engine.payload";

static enum az_code
no_memory(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, OP, "out of memory");
}

void *
msg_new(struct az_arena *a, const ProtobufCMessageDescriptor *type)
{
	void *m = az_arena_alloc(a, type->sizeof_message);

	if (m)
		protobuf_c_message_init(type, m);
	return m;
}

/* ---- out ---- */

typedef enum az_code codec_fn(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err);

/* One of the codec's ways over a document; one without marks stays where it is. */
static enum az_code
through(
    struct restack *r, struct az_arena *a, codec_fn *fn, struct az_str *json, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	if (!restack_codec_marked(*json))
		return AZ_OK;
	az_buf_init(&b, az_json_own_limits.bytes);
	if (!(rc = fn(r->codec, *json, &b, err)) && !(rc = az_buf_check(&b, OP, err))) {
		*json = az_arena_str(a, az_buf_str(&b));
		if (!json->p)
			rc = no_memory(err);
	}
	az_buf_release(&b);
	return rc;
}

enum az_code
payload_put(struct restack *r, struct az_arena *a, struct az_str json, Azt__Payload **out,
    struct az_err *err)
{
	Azt__Payload *p = msg_new(a, &azt__payload__descriptor);
	Azt__Payload__MetadataEntry *m = msg_new(a, &azt__payload__metadata_entry__descriptor);
	enum az_code rc = through(r, a, restack_codec_encode, &json, err);

	*out = NULL;
	if (rc)
		return rc;
	if (!p || !m || !(p->metadata = az_arena_alloc(a, sizeof *p->metadata)))
		return no_memory(err);
	m->key = "encoding";
	m->value = rpc_bytes(AZ_S("json/plain"));
	p->metadata[0] = m;
	p->n_metadata = 1;
	p->data = rpc_bytes(json);
	*out = p;
	return AZ_OK;
}

enum az_code
payloads_put(struct restack *r, struct az_arena *a, struct az_str json, Azt__Payloads **out,
    struct az_err *err)
{
	Azt__Payloads *list;
	enum az_code rc;

	*out = NULL;
	if (!json.n)
		return AZ_OK;
	list = msg_new(a, &azt__payloads__descriptor);
	if (!list || !(list->payloads = az_arena_alloc(a, sizeof *list->payloads)))
		return no_memory(err);
	if ((rc = payload_put(r, a, json, &list->payloads[0], err)))
		return rc;
	list->n_payloads = 1;
	*out = list;
	return AZ_OK;
}

/* ---- in ---- */

static bool
stopping(void *arg)
{
	struct restack *r = arg;

	return atomic_load(&r->stopping);
}

/* Where the data is a reference, what it refers to. */
static enum az_code
follow(struct restack *r, struct az_arena *a, const struct restack_meta *m, size_t n,
    struct az_str *data, struct az_str *encoding, struct az_err *err)
{
	const struct restack_blob_opts o = {.http = r->http,
	    .codec_url = r->addr.codec_url,
	    .ca_file = r->addr.ca_file,
	    .cancelled = stopping,
	    .arg = r};
	struct az_str original = {0};
	struct az_buf b;
	enum az_code rc;

	if (!restack_blob_is(m, n))
		return AZ_OK;
	az_buf_init(&b, az_json_own_limits.bytes);
	rc = restack_blob_get(&o, *data, a, &b, &original, err);
	/* one that is not there and one that is none: no later try reads it, and a run is not
	   gone because a payload is */
	if (rc == AZ_ENOTFOUND || rc == AZ_EINVAL) {
		rc = AZ_EUNPROC;
		if (err)
			err->code = rc;
	}
	if (!rc)
		rc = az_buf_check(&b, OP, err);
	if (!rc) {
		*data = az_arena_str(a, az_buf_str(&b));
		if (!data->p)
			rc = no_memory(err);
	}
	if (!rc && original.n)
		*encoding = original;
	az_buf_release(&b);
	return rc;
}

enum az_code
payload_get(struct restack *r, struct az_arena *a, const Azt__Payload *p, struct az_str *out,
    struct az_err *err)
{
	struct restack_meta m[META_MAX];
	struct az_str data, encoding = {0};
	enum az_code rc;

	*out = AZ_S("");
	if (!p)
		return AZ_OK;
	if (p->n_metadata > META_MAX)
		return az_fail(err, AZ_EUNPROC, OP, "a payload with too much metadata");
	for (size_t i = 0; i < p->n_metadata; i++) {
		const Azt__Payload__MetadataEntry *x = p->metadata[i];

		m[i] =
		    (struct restack_meta){az_str_c(x->key), az_str_n(x->value.data, x->value.len)};
		if (az_str_eqc(m[i].key, "encoding"))
			encoding = m[i].value;
	}
	data = az_str_n(p->data.data, p->data.len);
	if ((rc = follow(r, a, m, p->n_metadata, &data, &encoding, err)))
		return rc;
	if (az_str_eqc(encoding, "binary/null"))
		return AZ_OK;
	if (!az_str_eqc(encoding, "json/plain"))
		return az_fail(err, AZ_EUNPROC, OP, "a payload with the encoding \"%.*s\"",
		    AZ_FMT(az_str_sub(encoding, 0, 60)));
	/* whoever gets it may take it for JSON unseen */
	rc = az_json_scan(data, &az_json_own_limits, err);
	if (rc)
		return rc == AZ_ENOMEM ? rc : az_fail(err, AZ_EUNPROC, OP, "a payload is not JSON");
	*out = data;
	return AZ_OK;
}

enum az_code
payloads_get(struct restack *r, struct az_arena *a, const Azt__Payloads *p, struct az_str *out,
    struct az_err *err)
{
	return payload_get(r, a, p && p->n_payloads ? p->payloads[0] : NULL, out, err);
}

enum az_code
payload_open(struct restack *r, struct az_arena *a, struct az_str *json, struct az_err *err)
{
	return through(r, a, restack_codec_unwrap, json, err);
}

/* ---- memos and headers ---- */

static struct az_str
text_of(struct restack *r, struct az_arena *a, const Azt__Payload *p)
{
	struct az_str s;

	return payload_get(r, a, p, &s, NULL) ? AZ_S("") : s;
}

static struct az_str
string_of(struct az_arena *a, struct az_str json)
{
	const struct az_json *j;

	if (!json.n || az_json_parse_in(a, json, &az_json_own_limits, &j, NULL))
		return AZ_S("");
	return az_json_str(j);
}

struct az_str
fields_get(struct restack *r, struct az_arena *a, Azt__Memo__FieldsEntry *const *f, size_t n,
    const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(f[i]->key, key) == 0)
			return text_of(r, a, f[i]->value);
	return AZ_S("");
}

struct az_str
fields_string(struct restack *r, struct az_arena *a, Azt__Memo__FieldsEntry *const *f, size_t n,
    const char *key)
{
	return string_of(a, fields_get(r, a, f, n, key));
}

struct az_str
header_string(struct restack *r, struct az_arena *a, const Azt__Header *h, const char *key)
{
	for (size_t i = 0; h && i < h->n_fields; i++)
		if (strcmp(h->fields[i]->key, key) == 0)
			return string_of(a, text_of(r, a, h->fields[i]->value));
	return AZ_S("");
}

/* ---- times ---- */

Azt__Duration *
msg_duration(struct az_arena *a, int64_t ms)
{
	Azt__Duration *d = ms > 0 ? msg_new(a, &azt__duration__descriptor) : NULL;

	if (!d)
		return NULL;
	if (ms > FOREVER_MS)
		ms = FOREVER_MS;
	d->seconds = ms / 1000;
	d->nanos = (int32_t)(ms % 1000) * 1000000;
	return d;
}

static int64_t
to_ms(int64_t seconds, int32_t nanos)
{
	if (seconds < 0)
		return 0;
	if (seconds > INT64_MAX / 1000 - 1000)
		return INT64_MAX;
	seconds = seconds * 1000 + nanos / 1000000;
	return seconds < 0 ? 0 : seconds;
}

int64_t
msg_duration_ms(const Azt__Duration *d)
{
	int64_t ms = d ? to_ms(d->seconds, d->nanos) : 0;

	return ms < FOREVER_MS ? ms : FOREVER_MS; /* added to a time, it is still one */
}

int64_t
msg_ms(const Azt__Timestamp *t)
{
	return t ? to_ms(t->seconds, t->nanos) : 0;
}
