#include <string.h>
#include <time.h>

#include "server/common/clock.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/resource.h"

static void answer_login(struct request *request)
{
	const struct worker_start *settings = worker_settings(request->worker);
	uint64_t ends_ms = settings->rest_idle_ms < settings->rest_max_ms ? settings->rest_idle_ms
									  : settings->rest_max_ms;
	struct json_writer w;
	char expires_at[CLOCK_TEXT_SIZE];
	clock_text(time(NULL) + (time_t)(ends_ms / 1000), expires_at);
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "application");
	json_write_string(&w, settings->application);
	json_name(&w, "expires_at");
	json_write_string(&w, expires_at);
	json_end_object(&w);
	answer_end(request);
}

void resource_login(struct request *request)
{
	const struct worker_start *settings = worker_settings(request->worker);
	BODY_AUTO json_t *body = NULL;
	if (!body_read(request, SCHEMA_LoginRequest, &body))
		return;
	const char *pin = body_text(body, "pin"), *user = body_text(body, "user");
	bool so = user != NULL && strcmp(user, "so") == 0;
	CK_RV rv = login_user(request, so ? CKU_SO : CKU_USER, (const unsigned char *)pin, strlen(pin));
	if (rv == CKR_OK)
		login_keep(request->worker, settings->rest_idle_ms, settings->rest_max_ms);
	if (rv == CKR_OK)
		answer_login(request);
	else
		reply_return(request, rv, "The application was not logged in.");
}

void resource_logout(struct request *request)
{
	CK_RV rv = login_out(request);
	if (rv == CKR_OK)
		answer_nothing(request);
	else
		reply_return(request, rv, "The application was not logged out.");
}
