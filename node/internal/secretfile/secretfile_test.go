package secretfile_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/secretfile"
)

func newSecret(t *testing.T) keystone.Secret {
	t.Helper()
	s, err := keystone.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noPassphrase fails the test when it is asked.
func noPassphrase(t *testing.T) func() ([]byte, error) {
	return func() ([]byte, error) {
		t.Error("a passphrase was asked for")
		return nil, nil
	}
}

func TestPlainFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keystone.secret")
	s := newSecret(t)
	for range 2 { // the second time in the place of the first
		if err := secretfile.Write(path, s, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := secretfile.Read(path, noPassphrase(t))
	if err != nil || !got.Equal(s) {
		t.Errorf("another secret: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files were left", len(files))
	}
}

func TestSealedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keystone.secret")
	s := newSecret(t)
	if err := secretfile.Write(path, s, []byte("correct horse")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, s.Reveal()) {
		t.Fatal("the secret lies open")
	}
	word := []byte("correct horse")
	got, err := secretfile.Read(path, func() ([]byte, error) { return word, nil })
	if err != nil || !got.Equal(s) {
		t.Errorf("another secret: %v", err)
	}
	if !bytes.Equal(word, make([]byte, len(word))) {
		t.Error("the passphrase was not wiped")
	}

	if _, err := secretfile.Read(path, func() ([]byte, error) { return []byte("wrong horse"), nil }); !errors.Is(err, secretfile.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := secretfile.Read(path, func() ([]byte, error) { return nil, nil }); !errors.Is(err, secretfile.ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	if _, err := secretfile.Read(path, func() ([]byte, error) { return nil, fs.ErrClosed }); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("nobody to ask: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	digits := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want error
	}{
		"for the group":      {digits + "\n", 0o640, secretfile.ErrOpen},
		"for all":            {digits + "\n", 0o644, secretfile.ErrOpen},
		"empty":              {"", 0o600, secretfile.ErrDamaged},
		"no line feed":       {digits, 0o600, secretfile.ErrDamaged},
		"a digit less":       {digits[1:] + "\n", 0o600, secretfile.ErrDamaged},
		"two lines":          {digits + "\n\n", 0o600, secretfile.ErrDamaged},
		"upper case":         {strings.ToUpper(digits) + "\n", 0o600, secretfile.ErrDamaged},
		"huge":               {strings.Repeat("a", 1<<20), 0o600, secretfile.ErrDamaged},
		"age and no more":    {"age-encryption.org/v1\n", 0o600, secretfile.ErrDamaged},
		"too much to scrypt": {"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\n" + strings.Repeat("A", 43) + "\n--- " + strings.Repeat("A", 43) + "\n", 0o600, secretfile.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keystone.secret")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := secretfile.Read(path, func() ([]byte, error) { return []byte("word"), nil })
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if strings.Contains(err.Error(), "abab") {
				t.Errorf("the error shows what was there: %v", err)
			}
		})
	}
	if _, err := secretfile.Read(filepath.Join(t.TempDir(), "none"), noPassphrase(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestPassphrase(t *testing.T) {
	for text, want := range map[string]string{"word": "word", "word\n": "word", "two words\n\n": "two words\n"} {
		got, err := secretfile.Passphrase(strings.NewReader(text))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "\n", strings.Repeat("x", 1025)} {
		if _, err := secretfile.Passphrase(strings.NewReader(text)); err == nil {
			t.Errorf("%d bytes are a passphrase", len(text))
		}
	}
}
