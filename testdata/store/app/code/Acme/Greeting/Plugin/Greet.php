<?php

declare(strict_types=1);

namespace Acme\Greeting\Plugin;

use Magento\Theme\Model\BlockFactory;
use Magento\Theme\Model\Page;

/** Greets on every page; the class to change when you want to see what a changed PHP file does to a build. */
class Greet
{
    private const GREETING = 'Welcome to the sample store.';

    public function __construct(private BlockFactory $blockFactory)
    {
    }

    public function afterGetBlocks(Page $page, array $blocks): array
    {
        return [$this->blockFactory->create(['title' => 'Acme', 'text' => self::GREETING]), ...$blocks];
    }
}
