/* Reasoning that some servers leave in the text. Only at the start: a program under
   construction may itself contain the marks. */
#include <azlon/llm.h>

static bool
skip_block(struct az_str *s, struct az_str open, struct az_str close)
{
	ptrdiff_t end;

	if (!az_str_starts(*s, open))
		return false;
	end = az_str_find(*s, close, open.n);
	*s = az_str_sub(*s, end < 0 ? s->n : (size_t)end + close.n, s->n);
	return true;
}

static size_t
first(struct az_str s, struct az_str what)
{
	ptrdiff_t at = az_str_find(s, what, 0);

	return at < 0 ? s.n : (size_t)at;
}

struct az_str
az_llm_unthink(struct az_str text)
{
	const struct az_str close = AZ_S("</think>");
	struct az_str s = az_str_trim(text);
	bool any = false;
	size_t end;

	while (skip_block(&s, AZ_S("<think>"), close) ||
	       skip_block(&s, AZ_S("<thinking>"), AZ_S("</thinking>"))) {
		s = az_str_trim(s);
		any = true;
	}
	if (any)
		return s;
	end = first(text, close);
	/* a closing mark before anything that could be an answer */
	if (end < text.n && end < first(text, AZ_S("<think>")) && end < first(text, AZ_S("###")) &&
	    end < first(text, AZ_S("```")) && end < first(text, AZ_S("~~~")) &&
	    end < first(text, AZ_S("{")) && end < first(text, AZ_S("<file ")))
		return az_str_trim(az_str_sub(text, end + close.n, text.n));
	return text;
}
