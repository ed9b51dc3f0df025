/*
 * What an answer of the server means: whether to ask again, and what to say. Servers agree
 * on codes more than on statuses, so a code that is known decides; a HEAD has none, and
 * then the status does.
 */
#include "s3.h"

#define WHO "MINIO_ROOT_USER/MINIO_ROOT_PASSWORD"

enum means {
	NOTHING_KNOWN,
	LATER,    /* busy or starting */
	TOO_SLOW, /* the same, and it is a time-out */
	CLOCK,    /* the signature's time is off */
	REGION,
	TOKEN, /* temporary credentials are over */
	FULL,
	NOBODY, /* the access key is unknown */
	FORGED, /* the secret key is wrong */
	FORBIDDEN,
	NO_BUCKET,
	MISSING,
	CHANGED,   /* a precondition does not hold */
	BEYOND,    /* a range outside the object */
	IN_THE_WAY /* an object is also a prefix of others */
};

static const struct {
	const char *code;
	enum means means;
} codes[] = {
    {"InternalError", LATER},
    {"SlowDown", LATER},
    {"SlowDownRead", LATER},
    {"SlowDownWrite", LATER},
    {"ServiceUnavailable", LATER},
    {"ServerBusy", LATER},
    {"TooManyRequests", LATER},
    {"OperationAborted", LATER},
    {"ConditionalRequestConflict", LATER},
    {"XMinioServerNotInitialized", LATER},
    {"XMinioIAMNotInitialized", LATER},
    {"RequestTimeout", TOO_SLOW},
    {"RequestTimeTooSkewed", CLOCK},
    {"AuthorizationHeaderMalformed", REGION},
    {"PermanentRedirect", REGION},
    {"TemporaryRedirect", REGION},
    {"InvalidRegion", REGION},
    {"ExpiredToken", TOKEN},
    {"InvalidToken", TOKEN},
    {"InvalidTokenId", TOKEN},
    {"XMinioStorageFull", FULL},
    {"QuotaExceeded", FULL},
    {"XMinioAdminBucketQuotaExceeded", FULL},
    {"InvalidAccessKeyId", NOBODY},
    {"XAdminUserNotFound", NOBODY}, /* versitygw, as a 404 */
    {"SignatureDoesNotMatch", FORGED},
    {"AccessDenied", FORBIDDEN},
    {"AllAccessDisabled", FORBIDDEN},
    {"AccountProblem", FORBIDDEN},
    {"NoSuchBucket", NO_BUCKET},
    {"NoSuchKey", MISSING},
    {"NoSuchUpload", MISSING},
    {"PreconditionFailed", CHANGED},
    {"InvalidRange", BEYOND},
    {"XMinioObjectExistsAsDirectory", IN_THE_WAY},
    {"XMinioParentIsObject", IN_THE_WAY},
    {"ExistingObjectIsDirectory", IN_THE_WAY}, /* versitygw */
    {"ObjectParentIsFile", IN_THE_WAY},
};

static const struct {
	int status;
	enum means means;
} statuses[] = {
    {0, LATER}, /* no answer at all */
    {301, REGION},
    {307, REGION},
    {308, REGION},
    {401, FORBIDDEN},
    {403, FORBIDDEN},
    {404, MISSING},
    {408, TOO_SLOW},
    {412, CHANGED},
    {416, BEYOND},
    {429, LATER},
    {500, LATER},
    {502, LATER},
    {503, LATER},
    {504, TOO_SLOW},
    {507, FULL},
};

static enum means
means(int status, const char *code)
{
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strcmp(code, codes[i].code) == 0)
			return codes[i].means;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (status == statuses[i].status)
			return statuses[i].means;
	return NOTHING_KNOWN;
}

static bool
fine(int status, const char *code)
{
	return status >= 200 && status < 300 && !code[0];
}

enum s3_next
s3_next(int status, const char *code)
{
	if (fine(status, code))
		return S3_DONE;
	switch (means(status, code)) {
	case LATER:
	case TOO_SLOW:
		return S3_RETRY;
	case CLOCK:
		return S3_FIX_CLOCK;
	case REGION:
		return S3_FIX_REGION;
	case TOKEN:
		return S3_FIX_TOKEN;
	case FULL:
	case NOBODY:
	case FORGED:
	case FORBIDDEN:
	case NO_BUCKET:
	case MISSING:
	case CHANGED:
	case BEYOND:
	case IN_THE_WAY:
	case NOTHING_KNOWN:
		break;
	}
	return S3_GIVE_UP;
}

/* A server's word, fit for a sentence: a code is letters and digits or it is not shown. */
static const char *
word(const char *code)
{
	const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	return code[0] && !code[strspn(code, letters)] ? code : "no code";
}

enum az_code
s3_rc(const struct s3_reply *r, const char *op, struct az_err *err)
{
	const char *code = word(r->error.code);
	enum az_code rc = AZ_EUPSTREAM;

	if (fine(r->status, r->error.code))
		return AZ_OK;
	switch (means(r->status, r->error.code)) {
	case LATER:
		if (r->status)
			rc = az_fail(err, AZ_EUNAVAIL, op,
			    "the store is busy or starting (%d, %s, asked %d times); try later",
			    r->status, code, r->tries);
		else
			rc = az_fail(err, AZ_EUNAVAIL, op,
			    "the store does not answer: is it running, and is MINIO_ENDPOINT "
			    "right?");
		break;
	case TOO_SLOW:
		rc = az_fail(err, AZ_ETIMEOUT, op,
		    "the store did not finish in time (%d, %s, asked %d times); try later",
		    r->status, code, r->tries);
		break;
	case CLOCK:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the clocks of this host and of the store differ by more than 15 minutes; "
		    "set them, by NTP if you can");
		break;
	case REGION:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store serves another region or address (%d, %s); check AZLON_S3_REGION "
		    "and MINIO_ENDPOINT",
		    r->status, code);
		break;
	case TOKEN:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store refuses its own temporary credentials (%s); try again, and check "
		    "its clock if it stays so",
		    code);
		break;
	case FULL:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store is full or a quota of it is used up (%d, %s); give it more room",
		    r->status, code);
		if (err)
			az_err_reason(err, "store_full");
		break;
	case NOBODY:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store does not know this access key (%s); check " WHO, code);
		break;
	case FORGED:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store refuses the signature (%s), the secret key may be wrong; check " WHO,
		    code);
		break;
	case FORBIDDEN:
		rc = az_fail(err, AZ_EUNAVAIL, op,
		    "the store denies access (%d, %s); check " WHO
		    " and what its policy allows on buckets azlon-*",
		    r->status, code);
		break;
	case NO_BUCKET:
		rc = az_fail(err, AZ_ENOTFOUND, op, "the bucket is not there (%s)", code);
		break;
	case MISSING:
		rc = az_fail(err, AZ_ENOTFOUND, op, "not there (%d, %s)", r->status, code);
		break;
	case CHANGED:
		rc = az_fail(err, AZ_EPRECOND, op, "it is no longer what it was (%d)", r->status);
		break;
	case BEYOND:
		rc = az_fail(err, AZ_ERANGE, op, "the range lies outside the object");
		break;
	case IN_THE_WAY:
		rc = az_fail(err, AZ_ECONFLICT, op,
		    "an object is in the way: one cannot also be a directory (%s)", code);
		break;
	case NOTHING_KNOWN:
		rc = az_fail(err, AZ_EUPSTREAM, op,
		    "the store gave an answer that cannot be used (%d, %s); is MINIO_ENDPOINT the "
		    "S3 port of a MinIO or S3?",
		    r->status, code);
		break;
	}
	if (err)
		err->sys = r->status;
	return rc;
}
