package bench

import "testing"

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	type result struct {
		status int
		ok     bool
		failed bool
	}
	for name, tt := range map[string]struct {
		bytes string
		want  result
	}{
		"without a body":          {"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n", result{200, true, false}},
		"with a body":             {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok", result{200, true, false}},
		"refused":                 {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", result{503, true, false}},
		"nothing yet":             {"", result{0, false, false}},
		"headers are not whole":   {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", result{0, false, false}},
		"body is not whole":       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", result{200, false, false}},
		"more than announced":     {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", result{0, false, true}},
		"another status":          {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", result{0, false, true}},
		"no length":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", result{0, false, true}},
		"length only in the body": {"HTTP/1.1 200 OK\r\n\r\n\r\nContent-Length: 0\r\n", result{0, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, ok, err := parseAnswer([]byte(tt.bytes))
			if got := (result{status, ok, err != nil}); got != tt.want {
				t.Errorf("parseAnswer() = %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}
