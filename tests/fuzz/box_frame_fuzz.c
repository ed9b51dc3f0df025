/*
 * What an agent sends is hostile: any bytes, fed as frames to a box that has a process,
 * a request under way, a port being dialled and a follower. Whatever comes, queues stay within
 * their windows and credit never exceeds what was lent.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "box/fs.h"
#include "box/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { DIALLED = 3 };

static void
add_proc(struct box *b, struct proc *p, struct sub *s)
{
	memset(p, 0, sizeof *p);
	p->refs = 1;
	p->id = 1;
	p->has_stdin = true;
	p->stdin_room = AW_STDIN_WINDOW;
	az_buf_init(&p->ring, 2 * PROC_RING);
	az_cond_init(&p->cond);
	b->procs = p;
	b->nprocs = 1;
	if (s)
		proc_follow(b, p, s);
}

/* What is told of a name is JSON, whatever the name is. */
static void
told(struct aw_frame f, const char *lo, const char *hi)
{
	struct az_buf b;
	struct az_jw w;
	struct entry e;
	bool ok = f.type == AW_EVENT;

	az_buf_init(&b, AZ_MIB(4));
	az_jw_init(&w, &b);
	if (ok) {
		ok = !event_json(&w, &f, NULL);
	} else if ((ok = entry_parse(f.body, &e))) {
		assert(e.path.p >= lo && e.path.p + e.path.n <= hi && e.path.p[0] == '/');
		assert(e.target.p >= lo && e.target.p + e.target.n <= hi);
		assert(!e.meta.n ||
		       ((const char *)e.meta.p >= lo && (const char *)e.meta.p + e.meta.n <= hi));
		entry_json(&w, &e);
	}
	if (ok)
		assert(!b.fail && b.n && b.p[b.n - 1] == '}' && az_str_utf8_ok(az_buf_str(&b)));
	az_buf_release(&b);
}

static void
one(const uint8_t *data, size_t n, bool followed)
{
	static struct az_box_server srv;
	struct box b = {.srv = &srv, .sock = -1, .wake = -1, .init_fd = -1, .next_id = 10};
	struct proc p;
	struct sub sub = {0};
	struct call c = {.id = 2};
	struct conn *dialled;
	struct aw_frame f;
	size_t at = 0, used;
	bool ok = true;

	srv.vet = vet_public;
	pthread_mutex_init(&b.mu, NULL);
	az_cond_init(&b.cond);
	az_buf_init(&b.out, AZ_MIB(8));
	az_cond_init(&c.cond);
	az_buf_init(&c.in, AZ_MIB(1));
	b.calls = &c;
	add_proc(&b, &p, followed ? &sub : NULL);
	assert((dialled = net_conn_add(&b, DIALLED, open("/dev/null", O_RDWR))));
	dialled->dialled = true;
	b.nconns--;
	b.ndials++;
	while (ok && aw_next(data + at, n - at, &f, &used) == 1) {
		assert(used >= AW_HEAD && used <= n - at);
		assert(f.body.n == used - AW_HEAD);
		if (f.type == AW_ENTRY || f.type == AW_EVENT)
			told(f, (const char *)data, (const char *)data + n);
		at += used;
		ok = link_frame(&b, &f);
		assert(p.ring.n <= PROC_RING + AW_CHUNK + 5);
		assert(sub.q.fail == AZ_OK);
		assert(p.stdin_room <= AW_STDIN_WINDOW);
		assert(b.nblocked <= BLOCKED_MAX && !b.nconns && b.ndials <= 1);
		if (b.ndials)
			assert(dialled->up.n <= AW_NET_WINDOW && dialled->credit <= AW_NET_WINDOW);
		assert(b.journal.bytes <= JOURNAL_MAX);
	}
	net_close_all(&b);
	assert(!b.ndials && !b.conns);
	proc_leave(&b, &p, &sub);
	az_buf_release(&p.ring);
	az_buf_release(&c.in);
	az_buf_release(&b.out);
	journal_free(&b.journal);
	pthread_cond_destroy(&p.cond);
	pthread_cond_destroy(&c.cond);
	pthread_cond_destroy(&b.cond);
	pthread_mutex_destroy(&b.mu);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	one(data, n, false);
	one(data, n, true);
	return 0;
}
