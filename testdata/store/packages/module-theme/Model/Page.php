<?php

declare(strict_types=1);

namespace Magento\Theme\Model;

use Magento\Store\Model\StoreManager;

/** The one page of the sample: what a plugin or a module adds to getBlocks is shown. */
class Page
{
    public function __construct(
        private StoreManager $storeManager,
        private BlockFactory $blockFactory,
        private string $charset = 'iso-8859-1'
    ) {
    }

    /** @return Block[] */
    public function getBlocks(string $locale): array
    {
        return [$this->blockFactory->create(['title' => 'Store', 'text' => $this->storeManager->get('default', $locale)->getCode()])];
    }

    /** @param array{theme: string, locale: string, static: string, title?: string} $view */
    public function render(array $view): string
    {
        $base = htmlspecialchars("{$view['static']}{$view['theme']}/{$view['locale']}");
        $title = htmlspecialchars(($view['title'] ?? '') ?: 'Sample store');
        $blocks = '';
        foreach ($this->getBlocks($view['locale']) as $block) {
            $blocks .= $block->render();
        }
        return <<<HTML
            <!doctype html>
            <html lang="{$view['locale']}">
            <head>
                <meta charset="$this->charset">
                <title>$title</title>
                <link rel="stylesheet" href="$base/css/styles.css">
                <script src="$base/requirejs-loader.js"></script>
            </head>
            <body>
            $blocks</body>
            </html>

            HTML;
    }
}
