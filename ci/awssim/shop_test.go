package awssim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

// visit asks an address of the shop and returns the status and the page.
func (r *rig) visit(transport http.RoundTripper, path string) (int, string) {
	r.Helper()
	res, err := (&http.Client{Transport: transport}).Get("https://shop.example" + path)
	r.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	r.must(err)
	return res.StatusCode, string(b)
}

func TestShop(t *testing.T) {
	r := start(t, awssim.Config{})
	shop := r.w.Transport() // unsigned requests are visitors
	for _, c := range []struct {
		fact, is string
		path     string
		status   int
		says     string
	}{
		{"", "", "/", 200, "/static/version300/frontend/Magento/luma/en_US/css/styles.css"},
		{"", "", "/REVISION.txt", 200, "build 300\n"},
		{"", "", "/static/version300/frontend/Magento/luma/en_US/css/styles.css", 200, "body{}"},
		{"shop:300", "500", "/", 500, "error"},
		{"shop:300:page", "Sorry", "/", 200, "Sorry"},
		{"shop:300:styles", "404", "/static/version300/frontend/Magento/luma/en_US/css/styles.css", 404, "Not Found"},
		{"shop:300:revision", "299", "/REVISION.txt", 200, "build 299\n"},
		{"shop:300:revision", "none", "/REVISION.txt", 404, "Not Found"},
		{"shop:301", "500", "/", 200, "Welcome"},
	} {
		r.w.SetFact(c.fact, c.is)
		if status, page := r.visit(shop, c.path); status != c.status || !strings.Contains(page, c.says) {
			t.Errorf("%s is %s: %s answers %d %s", c.fact, c.is, c.path, status, page)
		}
		r.w.SetFact(c.fact, "")
	}
	r.w.SetFact("shop:300", "500 every 2")
	first, _ := r.visit(shop, "/")
	second, _ := r.visit(shop, "/")
	if first+second != 700 {
		t.Errorf("every second answer is 500: %d, %d", first, second)
	}
	_, err := r.ecs.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: aws.Int32(0)})
	r.must(err)
	r.clock.Advance(2 * time.Minute)
	if status, _ := r.visit(shop, "/"); status != 503 {
		t.Errorf("no task runs: %d", status)
	}
}

// The listeners lead to the builds that the lifecycle stage says.
func TestListenersOfAShift(t *testing.T) {
	conf := types.DeploymentConfiguration{Strategy: types.DeploymentStrategyCanary, BakeTimeInMinutes: aws.Int32(1),
		CanaryConfiguration: &types.CanaryConfiguration{CanaryPercent: aws.Float64(10), CanaryBakeTimeInMinutes: aws.Int32(1)}}
	top := awssim.DefaultTopology()
	top.Services[0].Value.DeploymentConfiguration = &conf
	top.Repositories[1].Images = append(top.Repositories[1].Images, awssim.ImageSpec{Tags: []string{"301"}})
	r := start(t, awssim.Config{Topology: top})
	td := top.TaskDefinitions[0].Value
	td.ContainerDefinitions[0].Image = aws.String(strings.Replace(*td.ContainerDefinitions[0].Image, ":300", ":301", 1))
	_, err := r.ecs.RegisterTaskDefinition(t.Context(), &td)
	r.must(err)
	out, err := r.ecs.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), TaskDefinition: aws.String("production-app:2")})
	r.must(err)
	production, test := awssim.InProcess(r.w.Listener(cluster, web, false)), awssim.InProcess(r.w.Listener(cluster, web, true))
	share := func(of http.RoundTripper) int {
		n := 0
		for range 100 {
			if _, page := r.visit(of, "/REVISION.txt"); strings.Contains(page, "301") {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		stage            string
		production, test int
	}{{"PRE_SCALE_UP", 0, 0}, {"POST_TEST_TRAFFIC_SHIFT", 0, 100}, {"PRODUCTION_TRAFFIC_SHIFT", 10, 100}, {"BAKE_TIME", 100, 100}} {
		r.follow(*out.Service.CurrentServiceDeployment, func(d types.ServiceDeployment) bool { return string(d.LifecycleStage) == c.stage })
		if p, q := share(production), share(test); p != c.production || q != c.test {
			t.Errorf("at %s %d%% of production and %d%% of test traffic", c.stage, p, q)
		}
	}
}
