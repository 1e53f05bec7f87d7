/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts: one form of the text is one command.  A module that is not well
 * formed is what a command tells, not an error of the script. */
#include "wat/script.h"
#include "wat/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct wat_script {
	struct wat_lexer lexer;
	struct wat_parser parser; /* only its place among the tokens */
	struct wat_arena arena;	  /* of the command */
	struct wat_command command;
	struct err told;
	bool begun;
};

static int no_memory(struct wat_script *script)
{
	return wat_lexer_no_memory(&script->lexer);
}

/* Words of commands */

/* A name with its "$", or NULL where there is none. */
static int name_read(struct wat_script *script, char **name)
{
	uint32_t number = wat_take_id(&script->parser);
	const struct wat_symbol *symbol;

	*name = NULL;
	if (number == WAT_NONE)
		return 0;
	symbol = &script->lexer.symbols[number];
	*name = wat_arena_take(&script->arena, (size_t)symbol->len + 2);
	if (!*name)
		return no_memory(script);
	(*name)[0] = '$';
	memcpy(*name + 1, symbol->text, symbol->len);
	return 0;
}

static int string_read(struct wat_script *script, char **text, size_t *len)
{
	struct wat_parser *parser = &script->parser;
	const struct wat_token *token = &parser->tokens[parser->at];

	if (token->kind != WAT_STRING)
		return wat_unexpected(parser);
	*text = wat_arena_take(&script->arena, (size_t)token->value + 1);
	if (!*text)
		return no_memory(script);
	*len = wat_string_decode(script->lexer.text + token->at, token->value,
				 *text);
	(*text)[*len] = 0;
	parser->at++;
	return 0;
}

/* Modules */

/* From behind "(module" and "definition" to before its bracket "last". */
static int module_make(struct wat_script *script, uint32_t last)
{
	struct wat_command *command = &script->command;
	struct wat_parser *parser = &script->parser;
	uint32_t at = parser->at;

	if (name_read(script, &command->name) < 0)
		return -EINVAL;
	if (wat_take_word(parser, WAT_W_BINARY))
		return wat_module_strings(&script->lexer, parser->at, last,
					  &command->binary);
	command->is_text = true;
	script->lexer.err = &command->malformed;
	if (wat_take_word(parser, WAT_W_QUOTE))
		wat_module_quoted(&script->lexer, parser->at, last,
				  &command->binary);
	else
		wat_module_encode(&script->lexer, at, last, &command->binary);
	script->lexer.err = &script->told;
	if (command->malformed.code != -ENOMEM)
		return 0;
	return no_memory(script);
}

/* "(module instance $name? $definition?)", from behind its words. */
static int instance_read(struct wat_script *script)
{
	struct wat_command *command = &script->command;

	command->is_instance = true;
	if (name_read(script, &command->name) < 0 ||
	    name_read(script, &command->definition) < 0)
		return -EINVAL;
	return wat_expect_close(&script->parser);
}

/* "(module ...)" of any kind. */
static int module_read(struct wat_script *script, bool *is_definition)
{
	struct wat_parser *parser = &script->parser;
	uint32_t last = parser->tokens[parser->at].value;

	if (!wat_take_open(parser, WAT_W_MODULE))
		return wat_unexpected(parser);
	*is_definition = wat_take_word(parser, WAT_W_DEFINITION);
	if (!*is_definition && wat_take_word(parser, WAT_W_INSTANCE))
		return instance_read(script);
	if (module_make(script, last) < 0)
		return -EINVAL;
	parser->at = last + 1;
	return 0;
}

static int command_module(struct wat_script *script)
{
	bool is_definition;

	if (module_read(script, &is_definition) < 0)
		return -EINVAL;
	script->command.kind = script->command.is_instance ? WAT_MODULE_INSTANCE
			       : is_definition ? WAT_MODULE_DEFINITION
					       : WAT_MODULE;
	return 0;
}

/* A text without commands: the fields of one module. */
static int command_inline(struct wat_script *script)
{
	struct wat_command *command = &script->command;
	int r;

	script->lexer.at = 0;
	r = wat_lexer_all(&script->lexer);
	if (r < 0)
		return r;
	command->kind = WAT_MODULE;
	command->line = 1;
	script->parser.tokens = script->lexer.tokens;
	script->parser.at = 0;
	return module_make(script, script->lexer.count);
}

/* Actions and assertions */

static int action_read(struct wat_script *script)
{
	struct wat_action *action = &script->command.action;
	struct wat_parser *parser = &script->parser;

	action->is_get = wat_is_open(parser, WAT_W_GET);
	if (!wat_take_open(parser, WAT_W_GET) &&
	    !wat_take_open(parser, WAT_W_INVOKE))
		return wat_unexpected(parser);
	if (name_read(script, &action->instance) < 0 ||
	    string_read(script, &action->name, &action->name_len) < 0)
		return -EINVAL;
	if (!action->is_get &&
	    wat_script_values(parser, &script->arena, false, &action->arguments,
			      &action->argument_count) < 0)
		return -EINVAL;
	return wat_expect_close(parser);
}

/* What an assertion is about: an action, a module, or either. */
enum subject { SUBJECT_ACTION, SUBJECT_MODULE, SUBJECT_ANY };

static const struct assertion {
	uint16_t word;
	uint8_t kind, kind_of_module, subject;
	bool has_values, has_message;
} assertions[] = {
	{ WAT_W_ASSERT_RETURN, WAT_ASSERT_RETURN, 0, SUBJECT_ACTION, true,
	  false },
	{ WAT_W_ASSERT_TRAP, WAT_ASSERT_TRAP, WAT_ASSERT_TRAP_MODULE,
	  SUBJECT_ANY, false, true },
	{ WAT_W_ASSERT_EXHAUSTION, WAT_ASSERT_EXHAUSTION, 0, SUBJECT_ACTION,
	  false, true },
	{ WAT_W_ASSERT_EXCEPTION, WAT_ASSERT_EXCEPTION, 0, SUBJECT_ACTION,
	  false, false },
	{ WAT_W_ASSERT_MALFORMED, 0, WAT_ASSERT_MALFORMED, SUBJECT_MODULE,
	  false, true },
	{ WAT_W_ASSERT_INVALID, 0, WAT_ASSERT_INVALID, SUBJECT_MODULE, false,
	  true },
	{ WAT_W_ASSERT_UNLINKABLE, 0, WAT_ASSERT_UNLINKABLE, SUBJECT_MODULE,
	  false, true },
	{ WAT_W_ASSERT_MALFORMED_CUSTOM, 0, WAT_ASSERT_MALFORMED_CUSTOM,
	  SUBJECT_MODULE, false, true },
	{ WAT_W_ASSERT_INVALID_CUSTOM, 0, WAT_ASSERT_INVALID_CUSTOM,
	  SUBJECT_MODULE, false, true },
};

static int assertion_read(struct wat_script *script,
			  const struct assertion *assertion)
{
	struct wat_command *command = &script->command;
	struct wat_parser *parser = &script->parser;
	bool is_module, ignored;
	size_t len;

	parser->at += 2;
	is_module = assertion->subject != SUBJECT_ACTION &&
		    wat_is_open(parser, WAT_W_MODULE);
	if (assertion->subject == SUBJECT_MODULE && !is_module)
		return wat_unexpected(parser);
	command->kind = is_module ? assertion->kind_of_module : assertion->kind;
	if ((is_module ? module_read(script, &ignored) : action_read(script)) <
	    0)
		return -EINVAL;
	if (assertion->has_values &&
	    wat_script_values(parser, &script->arena, true, &command->expected,
			      &command->expected_count) < 0)
		return -EINVAL;
	if (assertion->has_message &&
	    string_read(script, &command->message, &len) < 0)
		return -EINVAL;
	return wat_expect_close(parser);
}

static int command_register(struct wat_script *script)
{
	struct wat_command *command = &script->command;

	command->kind = WAT_REGISTER;
	script->parser.at += 2;
	if (string_read(script, &command->as, &command->as_len) < 0 ||
	    name_read(script, &command->name) < 0)
		return -EINVAL;
	return wat_expect_close(&script->parser);
}

/* Threads */

/* "(shared (module $name))", any number of them. */
static int shared_read(struct wat_script *script)
{
	struct wat_command *command = &script->command;
	struct wat_parser *parser = &script->parser;
	size_t most = 0;

	for (uint32_t at = parser->at; parser->tokens[at].kind == WAT_OPEN;
	     at = parser->tokens[at].value + 1)
		most++;
	command->shared = wat_arena_take(&script->arena, most * sizeof(char *));
	if (!command->shared)
		return no_memory(script);
	while (wat_take_open(parser, WAT_W_SHARED)) {
		char **name = &command->shared[command->shared_count++];

		if (!wat_take_open(parser, WAT_W_MODULE))
			return wat_unexpected(parser);
		if (name_read(script, name) < 0)
			return -EINVAL;
		if (!*name)
			return wat_unexpected(parser);
		if (wat_expect_close(parser) < 0 ||
		    wat_expect_close(parser) < 0)
			return -EINVAL;
	}
	return 0;
}

/* "(thread $name ...)": its commands are a script of their own, read when
 * they are asked for. */
static int command_thread(struct wat_script *script)
{
	struct wat_command *command = &script->command;
	struct wat_parser *parser = &script->parser;
	uint32_t last = parser->tokens[parser->at].value;
	int r;

	command->kind = WAT_THREAD;
	parser->at += 2;
	if (name_read(script, &command->name) < 0)
		return -EINVAL;
	if (!command->name)
		return wat_unexpected(parser);
	if (shared_read(script) < 0)
		return -EINVAL;
	r = wat_script_open(&command->thread, script->lexer.name,
			    script->lexer.text, parser->tokens[last].at,
			    script->lexer.err);
	if (r < 0)
		return r;
	command->thread->lexer.at = parser->tokens[parser->at].at;
	command->thread->begun = true;
	return 0;
}

static int command_wait(struct wat_script *script)
{
	script->command.kind = WAT_WAIT;
	script->parser.at += 2;
	if (name_read(script, &script->command.name) < 0)
		return -EINVAL;
	if (!script->command.name)
		return wat_unexpected(&script->parser);
	return wat_expect_close(&script->parser);
}

/* All */

static const struct assertion *assertion_find(uint32_t word)
{
	for (size_t i = 0; i < sizeof assertions / sizeof *assertions; i++)
		if (assertions[i].word == word)
			return &assertions[i];
	return NULL;
}

static int command_read(struct wat_script *script)
{
	struct wat_parser *parser = &script->parser;
	const struct wat_token *word = &parser->tokens[1];
	const struct assertion *assertion;

	parser->at = 0;
	script->command.line =
		wat_lexer_line(&script->lexer, parser->tokens[0].at);
	if (wat_kind(parser) != WAT_OPEN || word->kind != WAT_WORD)
		return wat_unexpected(parser);
	switch (word->value) {
	case WAT_W_MODULE: return command_module(script);
	case WAT_W_REGISTER: return command_register(script);
	case WAT_W_THREAD: return command_thread(script);
	case WAT_W_WAIT: return command_wait(script);
	case WAT_W_GET:
	case WAT_W_INVOKE:
		script->command.kind = WAT_ACTION;
		return action_read(script);
	}
	assertion = assertion_find(word->value);
	return assertion ? assertion_read(script, assertion)
			 : wat_unexpected(parser);
}

/* Does the text begin with a field of a module? */
static bool is_inline(const struct wat_script *script)
{
	const struct wat_token *word = &script->lexer.tokens[1];

	if (script->begun || script->lexer.tokens[0].kind != WAT_OPEN ||
	    word->kind != WAT_WORD)
		return false;
	switch (word->value) {
	case WAT_W_TYPE:
	case WAT_W_REC:
	case WAT_W_IMPORT:
	case WAT_W_FUNC:
	case WAT_W_TABLE:
	case WAT_W_MEMORY:
	case WAT_W_GLOBAL:
	case WAT_W_TAG:
	case WAT_W_EXPORT:
	case WAT_W_START:
	case WAT_W_ELEM:
	case WAT_W_DATA: return true;
	}
	return false;
}

static void command_forget(struct wat_script *script)
{
	wat_script_close(script->command.thread);
	buf_fini(&script->command.binary);
	script->command = (struct wat_command){ 0 };
	wat_arena_clear(&script->arena);
}

static int script_next(struct wat_script *script)
{
	int r = wat_lexer_form(&script->lexer);

	script->parser.tokens = script->lexer.tokens;
	if (r > 0) {
		r = is_inline(script) ? command_inline(script)
				      : command_read(script);
		r = r < 0 ? r : 1;
	}
	script->begun = true;
	if (r < 0)
		script->lexer.at = script->lexer.len; /* no way on */
	return r;
}

int wat_script_next(struct wat_script *script, struct wat_command **command,
		    struct err *err)
{
	int r;

	command_forget(script);
	*command = NULL;
	r = script_next(script);
	if (r < 0) {
		if (err)
			*err = script->told;
		command_forget(script);
		return script->told.code;
	}
	if (r > 0)
		*command = &script->command;
	return r;
}

int wat_script_open(struct wat_script **script, const char *name,
		    const char *text, size_t len, struct err *err)
{
	struct wat_script *made = calloc(1, sizeof *made);
	int r;

	*script = NULL;
	if (!made)
		return err_set(err, -ENOMEM, "%.80s", name);
	r = wat_lexer_init(&made->lexer, name, text, len, err);
	if (r < 0) {
		free(made);
		return r;
	}
	made->lexer.err = &made->told;
	made->parser.lexer = &made->lexer;
	*script = made;
	return 0;
}

void wat_script_close(struct wat_script *script)
{
	if (!script)
		return;
	command_forget(script);
	wat_lexer_fini(&script->lexer);
	free(script);
}
