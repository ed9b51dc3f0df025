/* Output into the store, its ends beside it: see sink.h. */
#include "sink.h"

#include <azlon/keys.h>

#define OP "work.sink"

enum az_code
sink_open(struct work_sink *s, struct work_job *j, const char *name, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	memset(s, 0, sizeof(*s));
	s->j = j;
	s->max = (int64_t)AZ_LIM_LOG_BYTES;
	rc = az_tail_init(&s->ends, AZ_TAIL_HEAD_BYTES, AZ_TAIL_TAIL_BYTES, err);
	if (rc != AZ_OK || !name)
		return rc;
	az_buf_init(&key, 1024);
	az_key_iter(&key, job_wid(j), j->iteration, name);
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = job_store_rc(
		    az_store_put_open(j->w->store, &j->bkt, az_buf_str(&key), &s->put, err), err);
	az_buf_release(&key);
	return rc;
}

enum az_code
sink_write(struct work_sink *s, struct az_str bytes, struct az_err *err)
{
	int64_t room = s->max - s->kept;
	enum az_code rc = AZ_OK;

	s->bytes += (int64_t)bytes.n;
	az_tail_add(&s->ends, bytes);
	if ((int64_t)bytes.n > room) {
		s->cut = true;
		bytes = az_str_sub(bytes, 0, (size_t)room);
	}
	if (s->put && bytes.n)
		rc = job_store_rc(az_store_put_write(s->put, bytes, err), err);
	s->kept += (int64_t)bytes.n;
	return rc;
}

enum az_code
sink_commit(struct work_sink *s, struct az_err *err)
{
	struct az_put *p = s->put;

	s->put = NULL;
	return p ? job_store_rc(az_store_put_commit(p, err), err) : AZ_OK;
}

void
sink_close(struct work_sink *s)
{
	if (s->put)
		az_store_put_abort(s->put);
	s->put = NULL;
	az_tail_release(&s->ends);
}

struct az_str
sink_text(const struct work_sink *s)
{
	struct az_str out = {0};
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(64));
	az_tail_raw(&s->ends, &b);
	if (job_text(s->j, &b, &out, NULL) != AZ_OK)
		out = (struct az_str){0};
	az_buf_release(&b);
	return out;
}

void
sink_json(const struct work_sink *s, struct az_jw *w)
{
	az_jw_obj(w);
	az_jw_ki(w, "bytes", s->bytes);
	az_jw_kb(w, "cut", s->cut);
	az_jw_ks(w, "text", sink_text(s));
	az_jw_end(w, '}');
}
