// Command vulnerabilities looks for known vulnerabilities that the launcher and the tools call, by govulncheck. Run it in the folder tools.
//
// Its database is on the internet. Where it cannot be reached, the command says that nothing was checked, and does not fail; on GitHub it fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// database is where the Go project publishes what it knows.
const database = "https://vuln.go.dev"

// found is the exit code of govulncheck for a vulnerability that is called: https://pkg.go.dev/golang.org/x/vuln/cmd/govulncheck
const found = 3

// reachTime bounds the question whether the database is there.
const reachTime = 10 * time.Second

// scan is what is looked at: packages of the module in a folder.
type scan struct{ dir, packages string }

// shipped are the program of the image, and the programs that test and release it.
var shipped = []scan{{"..", "./image/launcher"}, {".", "./..."}}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	db := flag.String("db", database, "address of the vulnerability database")
	flag.Parse()
	// GitHub sets this variable: https://docs.github.com/en/actions/reference/workflows-and-actions/variables
	if err := check(ctx, os.Stdout, *db, os.Getenv("GITHUB_ACTIONS") == "true", shipped); err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

// check looks at all scans. required says that a database that cannot be reached is an error.
func check(ctx context.Context, out io.Writer, db string, required bool, scans []scan) error {
	if err := reach(ctx, db); err != nil {
		if required {
			return fmt.Errorf("reach the vulnerability database: %w", err)
		}
		fmt.Fprintf(out, "NOT CHECKED for known vulnerabilities: %s. The database cannot be reached: %v\n", named(scans), err)
		return nil
	}
	program, err := govulncheck(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, s := range scans {
		command := exec.CommandContext(ctx, program, "-db", db, s.packages)
		command.Dir, command.Stdout, command.Stderr = s.dir, out, out
		var exit *exec.ExitError
		switch err := command.Run(); {
		case errors.As(err, &exit) && exit.ExitCode() == found:
			problems = append(problems, fmt.Errorf("%s in %s have known vulnerabilities, which are above: update the module, or Go", s.packages, s.dir))
		case err != nil:
			problems = append(problems, fmt.Errorf("look for vulnerabilities of %s in %s: %w", s.packages, s.dir, err))
		}
	}
	return errors.Join(problems...)
}

// named lists what is looked at.
func named(scans []scan) string {
	var names []string
	for _, s := range scans {
		names = append(names, s.packages+" in "+s.dir)
	}
	return strings.Join(names, ", ")
}

// reach asks the database for the time of its last change.
func reach(ctx context.Context, db string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, db+"/index/db.json.gz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", db, response.Status)
	}
	return nil
}

// govulncheck builds the program that go.mod pins, and gives its path.
func govulncheck(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, "go", "tool", "-n", "govulncheck")
	command.Stderr = os.Stderr
	path, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build govulncheck (the folder must be tools): %w", err)
	}
	return strings.TrimSpace(string(path)), nil
}
