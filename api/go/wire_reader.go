// Core. Fields of a Protocol Buffers message, read strictly.

package lars

// wireField is a varint or bytes field; the others are passed over.
type wireField struct {
	number int
	kind   int
	value  uint64
	bytes  []byte
}

// eachField tells every varint and bytes field, in order. Ends with an ErrProtocol when the bytes are
// no message, or with the error of `tell`.
func eachField(body []byte, tell func(wireField) error) error {
	reader := wireReader{rest: body}
	for len(reader.rest) > 0 {
		number, kind, err := reader.tag()
		if err != nil {
			return err
		}
		field := wireField{number: number, kind: kind}
		switch kind {
		case wireVarint:
			field.value, _, err = reader.varint()
		case wireBytes:
			field.bytes, err = reader.sized()
		default:
			if err = reader.skip(number, kind, 0); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = tell(field)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type wireReader struct{ rest []byte }

// varint gives the value and how many bytes it took.
func (r *wireReader) varint() (uint64, int, error) {
	var value uint64
	for at := 0; at < 10; at++ {
		if at >= len(r.rest) {
			return 0, 0, protocolError("message ends inside a field")
		}
		value |= uint64(r.rest[at]&127) << (7 * at)
		if r.rest[at] < 128 {
			r.rest = r.rest[at+1:]
			return value, at + 1, nil
		}
	}
	return 0, 0, protocolError("varint must end within 10 bytes")
}

func (r *wireReader) tag() (number, kind int, err error) {
	value, size, err := r.varint()
	if err != nil {
		return 0, 0, err
	}
	if size > 5 || value > 0xffffffff {
		return 0, 0, protocolError("tag must fit 32 bits")
	}
	if value>>3 == 0 {
		return 0, 0, protocolError("field number must not be 0")
	}
	return int(value >> 3), int(value & 7), nil
}

func (r *wireReader) sized() ([]byte, error) {
	length, size, err := r.varint()
	if err != nil {
		return nil, err
	}
	if size > 5 || length > 0x7fffffff {
		return nil, protocolError("length must fit 31 bits")
	}
	return r.take(int(length))
}

func (r *wireReader) take(count int) ([]byte, error) {
	if count > len(r.rest) {
		return nil, protocolError("length must be at most the %d bytes left: it is %d",
			len(r.rest), count)
	}
	taken := r.rest[:count]
	r.rest = r.rest[count:]
	return taken, nil
}

// skip passes over the content of a field of any kind.
func (r *wireReader) skip(number, kind, depth int) error {
	var err error
	switch kind {
	case wireVarint:
		_, _, err = r.varint()
	case wireFixed64:
		_, err = r.take(8)
	case wireBytes:
		_, err = r.sized()
	case wireFixed32:
		_, err = r.take(4)
	case wireGroup:
		err = r.skipGroup(number, depth)
	default:
		err = protocolError("wire type must be 0, 1, 2, 3 or 5: it is %d", kind)
	}
	return err
}

func (r *wireReader) skipGroup(number, depth int) error {
	if depth >= groupDepthMax {
		return protocolError("groups must nest at most %d deep", groupDepthMax)
	}
	for {
		inner, kind, err := r.tag()
		if err != nil {
			return err
		}
		if kind == wireGroupEnd {
			if inner != number {
				return protocolError("group must end with its own number")
			}
			return nil
		}
		if err := r.skip(inner, kind, depth+1); err != nil {
			return err
		}
	}
}
