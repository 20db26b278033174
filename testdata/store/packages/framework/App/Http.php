<?php

declare(strict_types=1);

namespace Magento\Framework\App;

use Magento\Framework\ObjectManager;

/** Stand-in for the store's pages: renders one page with the compiled code, and names the deployed static files. */
final class Http
{
    public function __construct(private string $root)
    {
    }

    public function launch(): void
    {
        if (file_exists($this->root . '/var/.maintenance.flag')) {
            http_response_code(503);
            header('Retry-After: 60');
            echo "Service Temporarily Unavailable\n";
            return;
        }
        $config = new DeploymentConfig($this->root);
        $path = (string) parse_url($_SERVER['REQUEST_URI'] ?? '/', PHP_URL_PATH);
        $front = new Storefront($this->root, $config);
        if ($path === '/graphql') {
            header('Content-Type: application/json');
            echo json_encode($front->graphql());
            return;
        }
        if (!in_array(pathinfo($path, PATHINFO_EXTENSION), ['', 'html', 'php'], true)) {
            http_response_code(404);
            echo "404 Not Found\n";
            return;
        }
        $shown = $front->match($path) ?? ['area' => 'frontend', 'title' => ''];
        $version = @file_get_contents($this->root . '/pub/static/deployed_version.txt');
        $page = ObjectManager::fromCompiled($this->root, 'frontend')->get('Magento\Theme\Model\Page');
        $footer = (new Template($this->root, $config))->render('Magento_Theme', 'footer.phtml', ['version' => (string) $version]);
        header('Content-Type: text/html; charset=utf-8');
        header('X-Magento-Mode: ' . ($config->get('MAGE_MODE') ?? 'default'));
        echo $page->render([
            'theme' => $shown['area'] === 'adminhtml' ? 'adminhtml/Magento/backend' : $config->get('system/default/design/theme/theme_id') ?? 'frontend/Magento/blank',
            'title' => $shown['title'],
            'locale' => $config->get('system/default/general/locale/code') ?? 'en_US',
            'static' => '/static/' . ($version === false || $version === '' ? '' : "version$version/"),
        ]), $footer;
    }
}
