package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"filippo.io/age"

	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

var (
	// ErrPassphrase says that the file needs a passphrase and was given none, or
	// the wrong one.
	ErrPassphrase = errors.New("the passphrase is missing or wrong")
	// ErrOpen says that others than the owner may read or change the file.
	ErrOpen = errors.New("others may read the file")
	// ErrDamaged says that the file does not hold a secret.
	ErrDamaged = errors.New("the file does not hold a secret")
)

const (
	// workFactor is the logarithm of scrypt's N: opening the file takes 128 MiB of
	// memory and some tenths of a second.
	workFactor = 17
	// maxWorkFactor bounds what a file can make its reader do.
	maxWorkFactor = 20
	// maxFile bounds what is read of a file, in bytes.
	maxFile = 4 << 10
	// maxPassphrase bounds a passphrase, in bytes.
	maxPassphrase = 1 << 10
)

// magic begins every age file.
const magic = "age-encryption.org/v1\n"

// Write puts the secret in the place of the file, whole and durable, with mode
// 0600. An empty passphrase leaves it readable for whoever can read the file.
func Write(path string, s keystone.Secret, passphrase []byte) error {
	text := append(s.Reveal(), '\n')
	defer clear(text)
	if len(passphrase) > 0 {
		sealed, err := seal(text, passphrase)
		if err != nil {
			return fmt.Errorf("keystone secret: %s: %w", path, err)
		}
		text = sealed
	}
	if err := datadir.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("keystone secret: %w", err)
	}
	return nil
}

func seal(text, passphrase []byte) ([]byte, error) {
	recipient, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(workFactor)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}

// Read returns the secret in the file. passphrase is asked only if the file is
// sealed; what it returns is wiped. Errors wrap fs.ErrNotExist, ErrPassphrase,
// ErrOpen or ErrDamaged, or are those of passphrase and of the system.
func Read(path string, passphrase func() ([]byte, error)) (keystone.Secret, error) {
	s, err := read(path, passphrase)
	if err != nil {
		return keystone.Secret{}, fmt.Errorf("keystone secret: %s: %w", path, err)
	}
	return s, nil
}

func read(path string, passphrase func() ([]byte, error)) (keystone.Secret, error) {
	text, err := readOwn(path)
	defer clear(text)
	if err != nil {
		return keystone.Secret{}, err
	}
	if bytes.HasPrefix(text, []byte(magic)) {
		if text, err = open(text, passphrase); err != nil {
			return keystone.Secret{}, err
		}
		defer clear(text)
	}
	digits, ended := bytes.CutSuffix(text, []byte("\n"))
	s, err := keystone.ParseSecret(digits)
	if err != nil || !ended {
		return keystone.Secret{}, ErrDamaged
	}
	return s, nil
}

// readOwn reads a small file that nobody else may.
func readOwn(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Windows has no such modes; there the folder of the user guards the file.
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: its mode is %04o; make it 0600, and consider the secret as known", ErrOpen, mode.Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = ErrDamaged
	}
	return text, err
}

func open(sealed []byte, passphrase func() ([]byte, error)) ([]byte, error) {
	word, err := passphrase()
	defer clear(word)
	if err != nil {
		return nil, err
	}
	if len(word) == 0 {
		return nil, ErrPassphrase
	}
	identity, err := age.NewScryptIdentity(string(word))
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if wrong := new(age.NoIdentityMatchError); errors.As(err, &wrong) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		clear(text)
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return text, nil
}

// Passphrase reads a passphrase from where an unattended start hands it over: a
// file descriptor or the file of a credential. One line feed at its end is
// dropped.
func Passphrase(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPassphrase+2))
	if err != nil {
		clear(text)
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	word, _ := bytes.CutSuffix(text, []byte("\n"))
	if len(word) == 0 || len(word) > maxPassphrase {
		clear(text)
		return nil, fmt.Errorf("passphrase: it must have 1 to %d bytes", maxPassphrase)
	}
	return word, nil
}

// Look tells, without a passphrase, whether the file holds a sealed secret, or
// whether there is none.
func Look(path string) (sealed, missing bool) {
	text, err := readOwn(path)
	defer clear(text)
	return bytes.HasPrefix(text, []byte(magic)), errors.Is(err, fs.ErrNotExist)
}
