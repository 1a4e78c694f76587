// Core. How a cursor moves on, where nobody looks for races.

//go:build !race

package lars

// moveTo stores where a cursor stands. A store without an order is enough, and that is what a pick costs
// least with: two goroutines that step at the same time get the same entry once, or one of the two steps
// is lost. The detector of races would tell of that; for it there is cursor_race.go.
func moveTo(cursor *uint32, index uint32) { *cursor = index }
