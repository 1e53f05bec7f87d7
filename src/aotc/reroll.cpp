/* SPDX-License-Identifier: Apache-2.0 */
/* Compilers of byte code write out several turns of a loop as one, and what
 * was one line of bytes is then several with gaps.  Here the first of these
 * turns is found, and that the others do the same a step further each: then
 * it alone is left. */
#include "aotc/ranges.hpp"
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Local.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>
#include <map>
#include <set>

using namespace llvm;
using namespace aotc;

namespace
{

constexpr int64_t copies_most = 16;

/* "copy" does in turn "turn" of those written out what "first" does in the
 * first of them. */
struct Pair {
	Instruction *first, *copy;
	int64_t turn;
	bool is_line; /* both are numbers on a line */

	bool operator<(const Pair &other) const
	{
		return std::tie(first, copy, turn) <
		       std::tie(other.first, other.copy, other.turn);
	}
};

/* What turns add up: phi, then one operation after the other. */
struct Sum {
	PHINode *phi;
	Instruction *last;
	SmallVector<Value *, 8> parts, first_parts;
};

struct Reroll {
	Ranged &of;
	BasicBlock &block;
	int64_t copies = 0;
	std::set<Pair> pairs = {}, refused = {}; /* known to be so, or not */
	std::vector<Pair> found = {};		 /* "pairs", in their order */
	SmallVector<Instruction *, 8> later_stores = {};
	SmallVector<Sum, 4> sums = {};
};

/* ---- the same, a step further ------------------------------------------------------- */

/* A number that grows by a constant with each turn. */
const SCEVAddRecExpr *grown(const Reroll &r, Value *value)
{
	ScalarEvolution &scev = r.of.k.scev;

	if (!value->getType()->isIntegerTy() ||
	    value->getType()->isIntegerTy(1))
		return nullptr;
	const auto *found = dyn_cast<SCEVAddRecExpr>(scev.getSCEV(value));

	if (!found || found->getLoop() != &r.of.loop || !found->isAffine() ||
	    !isa<SCEVConstant>(found->getStepRecurrence(scev)) ||
	    found->getType()->getIntegerBitWidth() > 64)
		return nullptr;
	return found;
}

int64_t step_of(const Reroll &r, const SCEVAddRecExpr *number)
{
	return cast<SCEVConstant>(number->getStepRecurrence(r.of.k.scev))
		->getAPInt()
		.getSExtValue();
}

bool is_further(Reroll &r, Instruction *first, Instruction *copy, int64_t turn)
{
	ScalarEvolution &scev = r.of.k.scev;
	const auto *from = grown(r, first), *to = grown(r, copy);
	const SCEVConstant *distance;

	if (!from || !to || from->getType() != to->getType() ||
	    step_of(r, from) % r.copies)
		return false;
	distance = dyn_cast<SCEVConstant>(scev.getMinusSCEV(to, from));
	if (!distance || distance->getAPInt().getSExtValue() !=
				 step_of(r, from) / r.copies * turn)
		return false;
	return r.of.is_computable(from->getStart());
}

bool is_next_access(const Reroll &r, const Instruction *first,
		    const Instruction *copy, int64_t turn)
{
	const Access *from = r.of.access(first), *to = r.of.access(copy);

	if (!from || !to || from->width != to->width ||
	    from->at.step % r.copies)
		return false;
	return r.of.distance(from->at, to->at) ==
	       from->at.step / r.copies * turn;
}

void add_pair(Reroll &r, const Pair &pair)
{
	if (r.pairs.insert(pair).second)
		r.found.push_back(pair);
}

/* What was found for a group that is none. */
void forget_pairs(Reroll &r, size_t kept)
{
	for (; r.found.size() > kept; r.found.pop_back())
		r.pairs.erase(r.found.back());
}

bool is_copy(Reroll &r, Value *first, Value *copy, int64_t turn);

bool are_copies(Reroll &r, Instruction *first, Instruction *copy, int64_t turn)
{
	for (unsigned i = 0; i < first->getNumOperands(); i++)
		if (!is_copy(r, first->getOperand(i), copy->getOperand(i),
			     turn))
			return false;
	return true;
}

bool are_copies_crossed(Reroll &r, Instruction *first, Instruction *copy,
			int64_t turn)
{
	return first->isCommutative() && first->getNumOperands() == 2 &&
	       is_copy(r, first->getOperand(0), copy->getOperand(1), turn) &&
	       is_copy(r, first->getOperand(1), copy->getOperand(0), turn);
}

bool is_same_work(Reroll &r, Instruction *first, Instruction *copy,
		  int64_t turn)
{
	if (isa<PHINode>(first) || first->getType() != copy->getType() ||
	    !first->isSameOperationAs(copy))
		return false;
	if (isa<LoadInst>(first))
		return is_next_access(r, first, copy, turn);
	return are_copies(r, first, copy, turn) ||
	       are_copies_crossed(r, first, copy, turn);
}

bool is_copy(Reroll &r, Value *first, Value *copy, int64_t turn)
{
	auto *one = dyn_cast<Instruction>(first);
	auto *other = dyn_cast<Instruction>(copy);

	if (first == copy && r.of.loop.isLoopInvariant(first))
		return true;
	if (!one || !other || r.of.loop.isLoopInvariant(one) ||
	    r.of.loop.isLoopInvariant(other))
		return false;
	Pair pair = { one, other, turn, is_further(r, one, other, turn) };

	if (r.pairs.count(pair) || r.refused.count(pair))
		return r.pairs.count(pair);
	if (!pair.is_line && !is_same_work(r, one, other, turn)) {
		r.refused.insert(pair);
		return false;
	}
	add_pair(r, pair);
	return true;
}

/* ---- what a turn leaves ---------------------------------------------------------------- */

/* Looks for the copies of "first" among those that are left, and takes them
 * out. */
template <typename T, typename Is>
bool take_copies(const Reroll &r, SmallVectorImpl<T> &left, const Is &is)
{
	SmallVector<T, 16> rest(left.begin(), left.end());

	for (int64_t turn = 1; turn < r.copies; turn++) {
		auto *found = std::find_if(rest.begin(), rest.end(),
					   [&](const T &one) {
						   return is(one, turn);
					   });

		if (found == rest.end())
			return false;
		rest.erase(found);
	}
	left.assign(rest.begin(), rest.end());
	return true;
}

/* "left": without the first.  Returns whether all are first ones or copies;
 * "is" tells whether one is the copy of another. */
template <typename T, typename Is>
bool group(Reroll &r, SmallVector<T, 16> left, SmallVectorImpl<T> &firsts,
	   const Is &is)
{
	for (size_t i = 0; i < left.size();) {
		size_t kept = r.found.size();
		T first = left[i];

		left.erase(left.begin() + (ptrdiff_t)i);
		if (take_copies<T>(r, left, [&](const T &one, int64_t turn) {
			    return is(first, one, turn);
		    })) {
			firsts.push_back(first);
			i = 0;
		} else {
			forget_pairs(r, kept);
			left.insert(left.begin() + (ptrdiff_t)i, first);
			i++;
		}
	}
	return left.empty();
}

bool group_stores(Reroll &r)
{
	SmallVector<Instruction *, 16> all;
	SmallVector<Instruction *, 8> firsts;

	for (const Access &access : r.of.accesses)
		if (isa<StoreInst>(access.instruction))
			all.push_back(access.instruction);
	auto is = [&](Instruction *first, Instruction *copy, int64_t turn) {
		if (!is_next_access(r, first, copy, turn) ||
		    !is_copy(r, first->getOperand(0), copy->getOperand(0),
			     turn))
			return false;
		add_pair(r, { first, copy, turn, false });
		return true;
	};

	if (!group<Instruction *>(r, all, firsts, is))
		return false;
	for (Instruction *store : all)
		if (!is_contained(firsts, store))
			r.later_stores.push_back(store);
	return true;
}

bool adds_up(unsigned opcode)
{
	switch (opcode) {
	case Instruction::Add:
	case Instruction::Mul:
	case Instruction::And:
	case Instruction::Or:
	case Instruction::Xor: return true;
	}
	return false;
}

/* From its last operation down to the phi: each of them but for the last is
 * used by the next one alone. */
bool find_parts(const Reroll &r, Sum &sum)
{
	SmallVector<Value *, 16> open = { sum.last };
	unsigned opcode = sum.last->getOpcode(), begins = 0;

	while (!open.empty()) {
		Value *value = open.pop_back_val();
		auto *operation = dyn_cast<Instruction>(value);

		if (value == sum.phi) {
			begins++;
		} else if (operation && operation->getParent() == &r.block &&
			   operation->getOpcode() == opcode &&
			   (operation == sum.last || operation->hasOneUse())) {
			open.push_back(operation->getOperand(0));
			open.push_back(operation->getOperand(1));
		} else {
			sum.parts.push_back(value);
		}
	}
	return begins == 1 && sum.phi->hasOneUse();
}

bool is_only_left(const Reroll &r, const Sum &sum)
{
	return all_of(sum.last->users(), [&](const User *user) {
		return user == sum.phi ||
		       cast<Instruction>(user)->getParent() != &r.block;
	});
}

bool group_sum(Reroll &r, PHINode &phi)
{
	auto *last =
		dyn_cast<Instruction>(phi.getIncomingValueForBlock(&r.block));
	Sum sum = { &phi, last, {}, {} };

	if (!last || last->getParent() != &r.block ||
	    !adds_up(last->getOpcode()) || !is_only_left(r, sum) ||
	    !find_parts(r, sum))
		return false;
	SmallVector<Value *, 16> left(sum.parts.begin(), sum.parts.end());

	if (!group<Value *>(r, left, sum.first_parts,
			    [&](Value *first, Value *copy, int64_t turn) {
				    return is_copy(r, first, copy, turn);
			    }))
		return false;
	r.sums.push_back(sum);
	return true;
}

bool group_phis(Reroll &r)
{
	for (PHINode &phi : r.block.phis()) {
		const auto *number = grown(r, &phi);

		if (number ? step_of(r, number) % r.copies != 0
			   : !group_sum(r, phi))
			return false;
	}
	return true;
}

/* ---- the order ---------------------------------------------------------------------------- */

/* Where an access is done, then and now. */
struct Moved {
	const Access *access;
	unsigned was;			 /* in the block */
	std::pair<int64_t, unsigned> is; /* turn, and in it */
};

bool are_apart(const Ranged &of, const Access &one, const Access &other)
{
	auto distance = of.distance(one.at, other.at);

	return distance &&
	       (*distance >= one.width || -*distance >= other.width);
}

void find_moved(const Reroll &r, SmallVectorImpl<Moved> &moved)
{
	std::map<const Instruction *, unsigned> places;
	std::set<const Instruction *> firsts;

	for (const Access &access : r.of.accesses)
		places[access.instruction] = (unsigned)places.size();
	for (const Pair &pair : r.pairs) {
		const Access *access = r.of.access(pair.copy);

		if (!access || !r.of.access(pair.first))
			continue;
		moved.push_back({ access,
				  places[pair.copy],
				  { pair.turn, places[pair.first] } });
		firsts.insert(pair.first);
	}
	for (const Instruction *first : firsts)
		moved.push_back({ r.of.access(first),
				  places[first],
				  { 0, places[first] } });
}

/* Accesses that change places with a store must be of other bytes. */
bool is_order_kept(const Reroll &r)
{
	SmallVector<Moved, 32> moved;

	find_moved(r, moved);
	for (const Moved &store : moved)
		for (const Moved &other : moved)
			if (isa<StoreInst>(store.access->instruction) &&
			    (store.was < other.was) != (store.is < other.is) &&
			    store.access != other.access &&
			    !are_apart(r.of, *store.access, *other.access))
				return false;
	return true;
}

/* A first one is a number on a line for all of its copies, or for none. */
bool are_lines_clear(const Reroll &r)
{
	std::map<const Instruction *, bool> is_line;

	return all_of(r.found, [&](const Pair &pair) {
		return is_line.try_emplace(pair.first, pair.is_line)
			       .first->second == pair.is_line;
	});
}

/* What is behind the loop may only know sums, and numbers that grow. */
bool is_left_computable(const Reroll &r)
{
	for (const PHINode &phi : r.of.loop.getUniqueExitBlock()->phis()) {
		Value *value = phi.getIncomingValueForBlock(&r.block);

		const auto *number = grown(r, value);

		if (!r.of.loop.isLoopInvariant(value) &&
		    !(number && r.of.is_computable(number->getStart())) &&
		    none_of(r.sums,
			    [&](const Sum &sum) { return sum.last == value; }))
			return false;
	}
	return true;
}

bool is_rolled(Reroll &r)
{
	return group_stores(r) && group_phis(r) &&
	       (!r.later_stores.empty() || !r.sums.empty()) &&
	       are_lines_clear(r) && is_order_kept(r) && is_left_computable(r);
}

/* ---- one turn ------------------------------------------------------------------------------ */

struct Turn {
	Reroll &r;
	SCEVExpander expand;
	IRBuilder<> before, begin, end;
	PHINode *number = nullptr; /* of the turn, from 0 */

	explicit Turn(Reroll &of)
	    : r(of),
	      expand(of.of.k.scev, of.of.k.function.getDataLayout(), "reroll"),
	      before(of.of.loop.getLoopPreheader()->getTerminator()),
	      begin(&*of.block.getFirstInsertionPt()),
	      end(of.block.getTerminator())
	{
	}
};

/* A line's value in this turn. */
Value *value_in_turn(Turn &turn, const Line &line)
{
	IRBuilder<> &build = turn.begin;
	Type *type = line.first->getType();
	Value *first = turn.expand.expandCodeFor(
		line.first, type, &*turn.before.GetInsertPoint());
	Value *step = ConstantInt::get(
		type, (uint64_t)(line.step / turn.r.copies), true);

	return build.CreateAdd(
		first,
		build.CreateMul(build.CreateIntCast(turn.number, type, false),
				step));
}

/* What is behind the loop knows its last turn. */
void leave_last(Turn &turn)
{
	Reroll &r = turn.r;
	IRBuilder<> &build = turn.before;

	for (PHINode &phi : r.of.loop.getUniqueExitBlock()->phis()) {
		Value *value = phi.getIncomingValueForBlock(&r.block);
		const auto *number = grown(r, value);

		if (!number || r.of.loop.isLoopInvariant(value))
			continue;
		Type *type = value->getType();
		Value *first = turn.expand.expandCodeFor(
			number->getStart(), type, &*build.GetInsertPoint());
		Value *turns =
			build.CreateIntCast(r.of.turns_value, type, false);
		Value *step = ConstantInt::get(
			type, (uint64_t)step_of(r, number), true);

		phi.setIncomingValueForBlock(
			&r.block,
			build.CreateAdd(first, build.CreateMul(turns, step)));
	}
}

/* The loop ends by the number of its turns. */
void number_turns(Turn &turn)
{
	Reroll &r = turn.r;
	IRBuilder<> &before = turn.before, &end = turn.end;
	auto *branch = cast<BranchInst>(r.block.getTerminator());
	Value *next,
		*all = before.CreateMul(before.CreateAdd(r.of.turns_value,
							 before.getInt64(1)),
					before.getInt64((uint64_t)r.copies));

	turn.number = PHINode::Create(before.getInt64Ty(), 2, "turn",
				      r.block.begin());
	next = end.CreateNUWAdd(turn.number, end.getInt64(1));
	turn.number->addIncoming(before.getInt64(0), before.GetInsertBlock());
	turn.number->addIncoming(next, &r.block);
	branch->setCondition(branch->getSuccessor(0) == &r.block
				     ? end.CreateICmpNE(next, all)
				     : end.CreateICmpEQ(next, all));
}

void sum_up(Turn &turn, const Sum &sum)
{
	IRBuilder<> &build = turn.end;
	Value *value = sum.phi;

	for (Value *part : sum.first_parts)
		value = build.CreateBinOp(
			(Instruction::BinaryOps)sum.last->getOpcode(), value,
			part);
	sum.last->replaceUsesWithIf(value, [&](const Use &use) {
		return use.getUser() == sum.phi ||
		       cast<Instruction>(use.getUser())->getParent() !=
			       &turn.r.block;
	});
}

void delete_unused(BasicBlock &block)
{
	bool is_changed = true;

	while (is_changed) {
		SmallVector<WeakTrackingVH, 64> all;

		is_changed = DeleteDeadPHIs(&block);
		for (Instruction &instruction : block)
			if (isInstructionTriviallyDead(&instruction))
				all.push_back(&instruction);
		for (WeakTrackingVH &one : all)
			if (one)
				is_changed |=
					RecursivelyDeleteTriviallyDeadInstructions(
						one);
	}
}

/* First ones, and what they are. */
std::map<Instruction *, Line> find_lines(const Reroll &r)
{
	std::map<Instruction *, Line> lines;

	for (const Pair &pair : r.found)
		if (pair.is_line) {
			const auto *number = grown(r, pair.first);

			lines[pair.first] = { number->getStart(),
					      step_of(r, number) };
		}
	return lines;
}

void make_turn(Reroll &r)
{
	std::map<Instruction *, Line> lines = find_lines(r);
	Turn turn(r);

	leave_last(turn);
	number_turns(turn);
	/* What is said of the first turn holds for others only if it was said
	 * of them. */
	for (const Pair &pair : r.pairs) {
		pair.first->dropPoisonGeneratingFlags();
		pair.first->dropPoisonGeneratingMetadata();
	}
	r.of.set_places([&](const Line &line) {
		return turn.begin.CreateInBoundsGEP(turn.begin.getInt8Ty(),
						    r.of.memory,
						    value_in_turn(turn, line));
	});
	for (const Sum &sum : r.sums)
		sum_up(turn, sum);
	for (const auto &[first, line] : lines)
		first->replaceAllUsesWith(value_in_turn(turn, line));
	for (Instruction *store : r.later_stores)
		store->eraseFromParent();
	delete_unused(r.block);
}

} // namespace

bool aotc::reroll(Ranged &ranged)
{
	if (ranged.loop.getNumBlocks() != 1)
		return false;
	for (int64_t copies = copies_most; copies > 1; copies--) {
		Reroll r = { ranged, *ranged.loop.getHeader(), copies };

		if (is_rolled(r)) {
			make_turn(r);
			return true;
		}
	}
	return false;
}
