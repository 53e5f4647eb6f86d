package check

import "slices"

// index finds the place of a key. Keys that lie close together, as offsets and counted values do, are looked up in an
// array, others in a map.
type index struct {
	low    int64
	dense  []int32
	sparse map[int64]int32
}

// get returns the place of a key, or none.
func (x *index) get(key int64) int32 {
	if x.dense != nil {
		if i := key - x.low; i >= 0 && i < int64(len(x.dense)) {
			return x.dense[i]
		}
		return none
	}
	if i, ok := x.sparse[key]; ok {
		return i
	}
	return none
}

// isDense says whether an array over [low, high] is no more than a few times the keys.
func isDense(low, high int64, keys int) bool {
	return high-low >= 0 && high-low < int64(keys)*8+1024
}

// indexUnique makes an index of each key's place in the slice; ok is false, with the key, if one comes twice.
func indexUnique(keys []int64) (x index, twice int64, ok bool) {
	if len(keys) == 0 {
		return x, 0, true
	}
	low, high := slices.Min(keys), slices.Max(keys)
	if !isDense(low, high, len(keys)) {
		x.sparse = make(map[int64]int32, len(keys))
		for i, k := range keys {
			if _, found := x.sparse[k]; found {
				return x, k, false
			}
			x.sparse[k] = int32(i)
		}
		return x, 0, true
	}
	x.low, x.dense = low, make([]int32, high-low+1)
	for i := range x.dense {
		x.dense[i] = none
	}
	for i, k := range keys {
		if x.dense[k-low] != none {
			return x, k, false
		}
		x.dense[k-low] = int32(i)
	}
	return x, 0, true
}

// ranks is a sorted set of offsets: it tells how many are below any offset.
//
//	offsets 3 4 7:  below(3)=0  below(4)=1  below(5)=2  below(7)=2  below(9)=3
type ranks struct {
	offsets []int64
	low     int64
	dense   []int32 // below, for low…; nil if the offsets lie too far apart
}

// rankSet makes the set of offsets, which may come in any order and more than once, by each.
func rankSet(each func(yield func(int64))) ranks {
	n := 0
	var low, high int64
	each(func(o int64) {
		if n == 0 {
			low, high = o, o
		}
		low, high = min(low, o), max(high, o)
		n++
	})
	if n == 0 {
		return ranks{}
	}
	if !isDense(low, high, n) {
		list := make([]int64, 0, n)
		each(func(o int64) { list = append(list, o) })
		slices.Sort(list)
		return ranks{offsets: slices.Compact(list)}
	}
	r := ranks{low: low, dense: make([]int32, high-low+2)}
	each(func(o int64) { r.dense[o-low] = 1 })
	for i := range r.dense {
		here := r.dense[i]
		r.dense[i] = int32(len(r.offsets))
		if here == 1 {
			r.offsets = append(r.offsets, low+int64(i))
		}
	}
	return r
}

// below is the number of offsets of the set that are lower than offset.
func (r *ranks) below(offset int64) int32 {
	if r.dense == nil {
		i, _ := slices.BinarySearch(r.offsets, offset)
		return int32(i)
	}
	switch i := offset - r.low; {
	case i <= 0:
		return 0
	case i >= int64(len(r.dense)):
		return int32(len(r.offsets))
	default:
		return r.dense[i]
	}
}

// of is the rank of an offset, or none if it is not in the set.
func (r *ranks) of(offset int64) int32 {
	i := r.below(offset)
	if int(i) < len(r.offsets) && r.offsets[i] == offset {
		return i
	}
	return none
}
