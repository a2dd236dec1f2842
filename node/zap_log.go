package node

import (
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// zapLog turns what a library writes to a log of zap into debug messages.
type zapLog struct{ to *slog.Logger }

var _ zapcore.Core = zapLog{}

func (zapLog) Enabled(zapcore.Level) bool { return true }

func (l zapLog) With(fields []zapcore.Field) zapcore.Core {
	return zapLog{l.to.With(attrsOf(fields)...)}
}

func (l zapLog) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(e, l)
}

func (l zapLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	l.to.Debug(e.Message, append(attrsOf(fields), slog.String("logger", e.LoggerName))...)
	return nil
}

func (zapLog) Sync() error { return nil }

// attrsOf returns fields as the arguments of a slog.Logger.
func attrsOf(fields []zapcore.Field) []any {
	values := zapcore.NewMapObjectEncoder()
	attrs := make([]any, len(fields))
	for i, f := range fields {
		f.AddTo(values)
		attrs[i] = slog.Any(f.Key, values.Fields[f.Key])
	}
	return attrs
}
