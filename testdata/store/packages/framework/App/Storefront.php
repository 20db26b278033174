<?php

declare(strict_types=1);

namespace Magento\Framework\App;

/** Stand-in for the pages that a database fills: category, product, customer, cart, admin and GraphQL. */
final class Storefront
{
    private const PAGES = ['customer/account/login', 'customer/account/create', 'checkout/cart', 'catalogsearch/result', 'contact'];

    public function __construct(private string $root, private DeploymentConfig $config)
    {
    }

    /** @return array{area: string, title: string}|null what a path shows; null: not a page of these */
    public function match(string $path): ?array
    {
        $path = trim($path, '/');
        $front = (string) ($this->config->get('backend/frontName') ?? 'admin');
        if ($path === '') {
            return null;
        }
        if ($path === $front || str_starts_with($path, "$front/")) {
            return $this->page('adminhtml', $path, 'Admin');
        }
        if (in_array($path, self::PAGES, true)) {
            return $this->page('frontend', $path, $path);
        }
        if (!preg_match('{^([a-z0-9-]+)\.html$}', $path, $m)) {
            return null;
        }
        if (!$this->installed()) {
            return null;
        }
        $database = Database::of($this->config);
        $found = $database->products($m[1]) ?: $database->categories($m[1]);
        return $found === [] ? null : $this->page('frontend', $path, $found[0]['name']);
    }

    /** Without a database that setup:install filled there are the compiled pages alone. */
    private function installed(): bool
    {
        [$host, $port] = array_pad(explode(':', (string) $this->config->get('db/connection/default/host'), 2), 2, '3306');
        return @fsockopen($host, (int) $port) !== false;
    }

    /** @return array{data: array<string, mixed>} */
    public function graphql(): array
    {
        $database = Database::of($this->config);
        return ['data' => [
            'storeConfig' => ['locale' => $this->config->get('system/default/general/locale/code') ?? 'en_US'],
            'categories' => ['items' => array_map(static fn(array $c): array => ['url_path' => $c['url_key'], 'url_suffix' => '.html'], $database->categories())],
            'products' => ['items' => array_map(static fn(array $p): array => ['url_key' => $p['url_key'], 'url_suffix' => '.html'], $database->products())],
        ]];
    }

    private function page(string $area, string $path, string $title): array
    {
        if (Database::of($this->config)->setting('web/unsecure/base_url') === null) {
            throw new \RuntimeException('The database has no base URL: run bin/magento setup:install');
        }
        $cache = new Cache($this->root, $this->config->all());
        $cache->save('default', 'LAYOUT_' . $path, $title);
        $cache->save('page_cache', 'PAGE_' . $path, $title);
        $cache->saveSession(bin2hex(random_bytes(13)), $path);
        return ['area' => $area, 'title' => $title];
    }
}
