package login_test

import (
	"encoding/json"
	"strings"
	"testing"

	"postident-bridge/internal/login"
)

// It sets the environment, where the SDK looks: so it runs alone. The credentials are those of the environment; a broker's name says the region.
func TestMSKIAM(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-secret", "AWS_SESSION_TOKEN": "session",
		"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	mechanism, err := login.MSKIAM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if mechanism.Name() != "AWS_MSK_IAM" {
		t.Errorf("mechanism %s", mechanism.Name())
	}
	_, first, err := mechanism.Authenticate(t.Context(), "b-1.bridge.abc123.c2.kafka.eu-central-1.amazonaws.com:9098")
	if err != nil {
		t.Fatal(err)
	}
	var sent map[string]string
	if err := json.Unmarshal(first, &sent); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(sent["x-amz-credential"], "AKIAEXAMPLE/") || !strings.Contains(sent["x-amz-credential"], "/eu-central-1/kafka-cluster/") ||
		sent["x-amz-security-token"] != "session" || sent["action"] != "kafka-cluster:Connect" || sent["user-agent"] != "postident-bridge" {
		t.Errorf("sent %s", first)
	}
	if strings.Contains(string(first), "canary") {
		t.Error("the secret key is sent")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIASECOND")
	t.Setenv("AWS_REGION", "eu-west-1")
	if mechanism, err = login.MSKIAM(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, first, err = mechanism.Authenticate(t.Context(), "kafka.internal:9098"); err != nil || !strings.Contains(string(first), "/eu-west-1/") {
		t.Errorf("a broker of another name: %s, error %v", first, err)
	}
}

// Without credentials a login fails, and says what it lacks.
func TestMSKIAMWithoutCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	mechanism, err := login.MSKIAM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := mechanism.Authenticate(t.Context(), "kafka.internal:9098"); err == nil || !strings.Contains(err.Error(), "get AWS credentials") {
		t.Errorf("error %v", err)
	}
}
