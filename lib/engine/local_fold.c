/*
 * Folds that kill their worker. Each fold under way stands in the file "live", in a cell
 * of its worker's row; who finds the row of a worker that died counts what stands there.
 * A run counted LOCAL_CRASHES_MAX times, without one fold that ended in between, is given
 * up. Two small writes a fold and no fsync: a crash of the host is nobody's fault.
 */
#include <unistd.h>
#include "local.h"

enum { CELLS = 32, CRASHES = 64 }; /* cells: the bits of folding.busy */

struct cell {
	uint64_t owner; /* 0 = none */
	int64_t run, start_ms;
};

struct crash {
	int64_t run, start_ms;
	uint32_t n, stamp; /* how often; larger is later */
};

_Static_assert(
    sizeof(struct crash) * CRASHES <= LIVE_SLOTS_AT - LIVE_CRASHES_AT, "the crashes fit");

static off_t
cell_at(int row, int cell)
{
	return LIVE_FOLDS_AT + (off_t)(row * CELLS + cell) * (off_t)sizeof(struct cell);
}

/* All zero where the file does not reach, or cannot be read. */
static void
crashes_get(struct live *l, struct crash c[CRASHES])
{
	memset(c, 0, sizeof *c * CRASHES);
	if (pread(l->fd, c, sizeof *c * CRASHES, LIVE_CRASHES_AT) < 0)
		memset(c, 0, sizeof *c * CRASHES);
}

static void
crash_put(struct live *l, int i, const struct crash *c)
{
	(void)!pwrite(l->fd, c, sizeof *c, LIVE_CRASHES_AT + (off_t)i * (off_t)sizeof *c);
}

static int
find(const struct crash c[CRASHES], int64_t run, int64_t start_ms)
{
	for (int i = 0; i < CRASHES; i++)
		if (c[i].n && c[i].run == run && c[i].start_ms == start_ms)
			return i;
	return -1;
}

/* ---- who folds ---- */

void
fold_host(struct local *e, int row, uint64_t id)
{
	struct folding *f = &e->folding;

	pthread_mutex_lock(&f->mu);
	f->row = row;
	f->id = id;
	pthread_mutex_unlock(&f->mu);
}

bool
fold_begin(struct local *e, const struct run_head *h, struct fold_mark *m)
{
	struct folding *f = &e->folding;
	struct cell mine = {.run = h->n, .start_ms = h->start_ms};
	struct crash c[CRASHES];

	*m = (struct fold_mark){.row = -1, .cell = -1};
	crashes_get(&e->live, c);
	m->crash = find(c, h->n, h->start_ms);
	if (m->crash >= 0 && c[m->crash].n >= LOCAL_CRASHES_MAX)
		return false;
	pthread_mutex_lock(&f->mu);
	if (f->row >= 0 && f->busy != UINT32_MAX) {
		m->row = f->row;
		m->cell = __builtin_ctz(~f->busy);
		f->busy |= UINT32_C(1) << m->cell;
		mine.owner = f->id;
	}
	pthread_mutex_unlock(&f->mu);
	/* more at once than cells, or a full disk: then this one does not count */
	if (m->cell >= 0)
		(void)!pwrite(e->live.fd, &mine, sizeof mine, cell_at(m->row, m->cell));
	return true;
}

void
fold_end(struct local *e, const struct fold_mark *m)
{
	static const struct cell none;
	static const struct crash fine;
	struct folding *f = &e->folding;

	if (m->crash >= 0)
		crash_put(&e->live, m->crash, &fine);
	if (m->cell < 0)
		return;
	(void)!pwrite(e->live.fd, &none, sizeof none, cell_at(m->row, m->cell));
	pthread_mutex_lock(&f->mu);
	f->busy &= ~(UINT32_C(1) << m->cell);
	pthread_mutex_unlock(&f->mu);
}

/* ---- who died ---- */

/* The cells of a worker that died; how many. */
static int
left(struct live *l, const struct live_worker *w, int row, int64_t now, struct cell c[CELLS])
{
	int n = 0;

	if (!live_gone(w, now))
		return 0;
	memset(c, 0, sizeof *c * CELLS);
	if (pread(l->fd, c, sizeof *c * CELLS, cell_at(row, 0)) < 0)
		return 0;
	for (int i = 0; i < CELLS; i++)
		n += c[i].owner == w->id;
	return n;
}

bool
fold_left(struct live *l, const struct live_worker w[LIVE_WORKERS])
{
	struct cell c[CELLS];
	int64_t now = az_boot_ms();

	for (int row = 0; row < LIVE_WORKERS; row++)
		if (left(l, &w[row], row, now, c))
			return true;
	return false;
}

static void
count(struct live *l, const struct cell *cell)
{
	struct crash c[CRASHES];
	uint32_t stamp = 0;
	int i, oldest = 0;

	crashes_get(l, c);
	i = find(c, cell->run, cell->start_ms);
	for (int k = 0; k < CRASHES; k++) {
		if (c[k].stamp > stamp)
			stamp = c[k].stamp;
		if (c[k].stamp < c[oldest].stamp)
			oldest = k;
	}
	if (i < 0) {
		i = oldest;
		c[i] = (struct crash){.run = cell->run, .start_ms = cell->start_ms};
	}
	c[i].n++;
	c[i].stamp = stamp + 1;
	crash_put(l, i, &c[i]);
}

void
fold_count(struct live *l)
{
	static const struct cell none;
	struct live_worker w[LIVE_WORKERS];
	struct cell c[CELLS];
	int64_t now = az_boot_ms();

	if (!live_workers(l, w))
		return;
	for (int row = 0; row < LIVE_WORKERS; row++) {
		if (!left(l, &w[row], row, now, c))
			continue;
		for (int i = 0; i < CELLS; i++) {
			if (c[i].owner != w[row].id)
				continue;
			count(l, &c[i]);
			(void)!pwrite(l->fd, &none, sizeof none, cell_at(row, i));
		}
	}
}

enum az_code
fold_count_apply(struct local *e, struct conn *c, struct op *op)
{
	(void)c;
	(void)op;
	fold_count(&e->live);
	return AZ_OK;
}
