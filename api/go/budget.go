// Core. How many second tries are healthy: a share of the calls, and a floor for small traffic.

package lars

import (
	"sync"
	"time"
)

const (
	// budgetSeconds: for so long calls and retries are remembered.
	budgetSeconds = 10
	// budgetsMax: modules with a budget of their own; beyond it one begins anew.
	budgetsMax = 1000
)

// retryBudget keeps retries from turning a slow module into a dead one: in any ten seconds at most
// `share` of the calls, and `floor` more, are tried again.
type retryBudget struct {
	// slots: retries that each of the last seconds allows; what was spent is taken off.
	slots  [budgetSeconds]float64
	second int64
}

// slot is the one of this second, with all that are too old emptied.
func (b *retryBudget) slot(sinceStart time.Duration) *float64 {
	second := int64(sinceStart / time.Second)
	first := second - budgetSeconds
	if b.second > first {
		first = b.second
	}
	for old := first + 1; old <= second; old++ {
		b.slots[old%budgetSeconds] = 0
	}
	if second > b.second {
		b.second = second
	}
	return &b.slots[second%budgetSeconds]
}

// retryBudgets has the budget of each module that calls with retries.
type retryBudgets struct {
	share, floor float64
	start        time.Time
	mutex        sync.Mutex
	budgets      map[moduleID]*retryBudget
}

func newRetryBudgets(share, floorPerSecond float64, now time.Time) *retryBudgets {
	// A second before, so that no second is negative or 0, which is that of an unused budget.
	start := now.Add(-time.Second)
	return &retryBudgets{
		share:   share,
		floor:   floorPerSecond * budgetSeconds,
		start:   start,
		budgets: map[moduleID]*retryBudget{},
	}
}

// addCall: a call was made, whatever comes of it; its retries do not count as calls.
func (b *retryBudgets) addCall(module moduleID, now time.Time) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	*b.of(module).slot(now.Sub(b.start)) += b.share
}

// take takes one retry out of the budget; false when there is none left.
func (b *retryBudgets) take(module moduleID, now time.Time) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	budget := b.of(module)
	slot := budget.slot(now.Sub(b.start))
	sum := b.floor
	for _, one := range budget.slots {
		sum += one
	}
	// Shares add up to a little less than a whole one at times.
	if sum < 0.995 {
		return false
	}
	*slot--
	return true
}

// giveBack puts a retry back that was taken and not made.
func (b *retryBudgets) giveBack(module moduleID, now time.Time) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	*b.of(module).slot(now.Sub(b.start))++
}

func (b *retryBudgets) of(module moduleID) *retryBudget {
	budget := b.budgets[module]
	if budget == nil {
		if len(b.budgets) >= budgetsMax {
			for any := range b.budgets {
				delete(b.budgets, any)
				break
			}
		}
		budget = &retryBudget{}
		b.budgets[module] = budget
	}
	return budget
}
