#include <stdint.h>
#include <string.h>

#include "api/internal.h"

/*
 * The parts of a number's text. A double holds it unless it rounds to infinity; that is decided on the digits,
 * because strtod depends on the locale of the program that has loaded us.
 */
struct number {
	const char *digits, *digits_end; /* integer part and fraction, with the point between them */
	bool negative, real;
	int64_t point; /* digits before the point */
	int64_t exponent;
};

/* Exponents beyond any text's length make no difference. */
static const int64_t exponent_bound = INT64_C(1) << 56;

/* DBL_MAX plus half a unit in its last place: the least number that rounds to infinity. */
static const char infinite[] =
	"1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070963"
	"3028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447573027"
	"0069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";

static bool is_digit(const struct json_reader *in)
{
	return in->at < in->end && *in->at >= '0' && *in->at <= '9';
}

static bool scan_digits(struct json_reader *in)
{
	if (!is_digit(in))
		return json_fail(in, "expected a digit");
	while (is_digit(in))
		in->at++;
	return true;
}

static bool scan_exponent(struct json_reader *in, int64_t *ret_exponent)
{
	int64_t exponent = 0;
	bool negative = false;

	in->at++;
	if (in->at < in->end && (*in->at == '+' || *in->at == '-'))
		negative = *in->at++ == '-';
	const char *digit = in->at;
	if (!scan_digits(in))
		return false;
	for (; digit < in->at; digit++)
		if (exponent < exponent_bound)
			exponent = exponent * 10 + (*digit - '0');
	*ret_exponent = negative ? -exponent : exponent;
	return true;
}

static bool scan_parts(struct json_reader *in, struct number *number)
{
	if (*in->at == '-') {
		number->negative = true;
		in->at++;
	}
	number->digits = in->at;
	if (!scan_digits(in))
		return false;
	number->point = in->at - number->digits;
	if (*number->digits == '0' && number->point > 1) {
		in->at = number->digits + 1;
		return json_fail(in, "number with a leading zero");
	}
	if (in->at < in->end && *in->at == '.') {
		number->real = true;
		in->at++;
		if (!scan_digits(in))
			return false;
	}
	number->digits_end = in->at;
	if (in->at < in->end && (*in->at == 'e' || *in->at == 'E')) {
		number->real = true;
		return scan_exponent(in, &number->exponent);
	}
	return true;
}

static bool fits_integer(const struct number *number)
{
	const char *bound = number->negative ? "9223372036854775808" : "9223372036854775807";
	const int64_t bound_len = 19;

	if (number->point != bound_len)
		return number->point < bound_len;
	return memcmp(number->digits, bound, (size_t)bound_len) <= 0;
}

static bool fits_double(const struct number *number)
{
	const char *at = number->digits, *bound = infinite;
	int64_t magnitude = number->point + number->exponent; /* digits before the point once it has moved */
	const int64_t magnitude_max = sizeof(infinite) - 1;

	for (; at < number->digits_end && (*at == '0' || *at == '.'); at++)
		if (*at == '0')
			magnitude--;
	if (at == number->digits_end || magnitude < magnitude_max)
		return true;
	if (magnitude > magnitude_max)
		return false;
	for (; *bound != '\0'; bound++) {
		if (at < number->digits_end && *at == '.')
			at++;
		char digit = '0';
		if (at < number->digits_end)
			digit = *at++;
		if (digit != *bound)
			return digit < *bound;
	}
	return false;
}

bool json_scan_number(struct json_reader *in)
{
	struct number number = {0};
	const char *start = in->at;

	if (in->error != NULL)
		return false;
	if (in->at == in->end)
		return json_fail(in, "expected a value");
	if (!scan_parts(in, &number))
		return false;
	if (number.real ? fits_double(&number) : fits_integer(&number))
		return true;
	in->at = start;
	return json_fail(in, "number out of range");
}
